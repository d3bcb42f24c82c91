"""Decode: files in, pixels and windows out; loads no model."""
