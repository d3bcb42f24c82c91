"""The files that a run reads: folders, patterns, lists."""
