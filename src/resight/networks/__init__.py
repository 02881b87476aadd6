"""Convolutional networks: their specs and weights, and the runtimes that compute them."""
