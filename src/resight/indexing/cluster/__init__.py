"""Extraction past one machine: shards of a photo list become segments, segments a collection."""
