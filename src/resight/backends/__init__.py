"""Where collections are searched: a folder, Qdrant, PostgreSQL; one interface over the three."""
