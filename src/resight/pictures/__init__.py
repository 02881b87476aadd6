"""Pictures made of results."""
