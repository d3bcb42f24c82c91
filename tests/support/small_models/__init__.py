"""Small models of all backends with random weights."""
