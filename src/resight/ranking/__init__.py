"""The mathematics of searching: distances, nearest neighbours, and better orders of them."""
