"""Metadata columns of items: types, Arrow conversion, and notices about converted values."""
