"""Evaluate: ranking and moment metrics, one definition each."""
