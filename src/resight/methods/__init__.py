"""The catalogue of methods, and the factory of their extractors."""
