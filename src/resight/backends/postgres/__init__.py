"""Collections in PostgreSQL with the extension pgvector."""
