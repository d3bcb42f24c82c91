"""HTML pages of search results: thumbnails, players and score curves."""
