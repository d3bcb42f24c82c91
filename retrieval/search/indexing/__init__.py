"""Building the index of a collection."""
