"""Reductions of descriptors before they are compared: selection of values, whitening, or both."""
