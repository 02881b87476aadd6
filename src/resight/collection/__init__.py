"""Collections on disk: the SQLite database and the search arrays derived from it."""
