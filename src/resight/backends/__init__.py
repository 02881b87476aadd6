"""Storage backends of collections: a folder, PostgreSQL or Qdrant, behind one interface."""
