"""Aggregation: from the local features of a photo to one vector."""
