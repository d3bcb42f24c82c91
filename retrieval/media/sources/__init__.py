"""List the files that a run reads: folders, patterns, lists and archives."""
