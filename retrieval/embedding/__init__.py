"""Embedding runs: decode, encode, assemble and store media files."""
