"""A small sample collection, drawn by Resight's own code, to try the search on."""

from resight.demo.collection import draw_collection

__all__ = ["draw_collection"]
