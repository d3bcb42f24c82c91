"""Models of every kind, real but small enough to be made, saved and loaded within a test."""
