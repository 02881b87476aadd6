"""Re-ranking: one method a file, listed in `table.py`."""
