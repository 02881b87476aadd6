"""Find, in a collection of photos, those that show the very same object, building or scene."""
