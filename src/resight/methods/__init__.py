"""The methods by name, and the objects that a configuration is turned into."""
