"""Read audio files and the sound of videos."""
