"""Re-ranking: a better order for the first results."""
