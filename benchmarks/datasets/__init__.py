"""Descriptions and readers of data sets."""
