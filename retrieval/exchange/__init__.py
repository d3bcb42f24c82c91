"""In and out: vectors of other tools as a collection, and a collection in their layouts."""
