"""How good rankings are."""
