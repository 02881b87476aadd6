"""The collection: one database that is the truth, and what is derived from it."""
