"""Audio files and the sound of videos."""
