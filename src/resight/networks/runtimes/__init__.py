"""Runtimes: what computes a network."""
