"""Lists of media files with metadata."""
