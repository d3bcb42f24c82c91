"""Groups of near-duplicate items."""
