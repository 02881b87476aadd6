"""Distances, nearest neighbors, re-ranking and geometric verification."""
