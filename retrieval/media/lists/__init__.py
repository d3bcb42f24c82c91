"""Read lists of media files with metadata."""
