"""Re-ranks the first hits with models that read query and image together."""
