"""Pushes collections to Qdrant, a vector database, and searches them there."""
