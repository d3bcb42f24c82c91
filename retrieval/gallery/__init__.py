"""Answers as a page: thumbnails, players that start at the moment, score curves."""
