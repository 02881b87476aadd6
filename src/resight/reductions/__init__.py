"""Descriptors made shorter before they are compared: a selection of values, or whitening."""
