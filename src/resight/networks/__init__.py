"""The networks: their weights, what there is to compute, and the engines that compute it."""
