"""Benchmarks on the disk, read into one form: photos to rank, queries, and ground truth."""
