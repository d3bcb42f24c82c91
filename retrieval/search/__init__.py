"""Search: queries in, ranked hits out."""
