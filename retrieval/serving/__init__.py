"""The HTTP server of collections: search, media, thumbnails and a page."""
