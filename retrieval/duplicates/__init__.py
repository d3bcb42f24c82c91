"""Near-duplicates: which items of a collection show or play the same, and in which seconds."""
