"""Re-ranking the first hits with models that read query and image together."""
