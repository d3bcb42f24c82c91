"""Engines of others: clusters and vector databases. Each is imported only when it is requested."""
