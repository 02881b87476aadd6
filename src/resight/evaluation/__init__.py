"""Quality of rankings."""
