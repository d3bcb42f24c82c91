"""Decode media in worker processes."""
