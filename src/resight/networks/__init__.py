"""The networks: their weights, what there is to compute, and the runtimes that compute it."""
