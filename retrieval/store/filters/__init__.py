"""Filters: SQL conditions over item columns, checked and evaluated with DuckDB."""
