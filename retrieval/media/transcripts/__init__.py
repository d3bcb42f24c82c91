"""Read timed transcripts: subtitle files, lyrics, and subtitle tracks."""
