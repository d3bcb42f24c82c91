"""Read the frames of videos and animations."""
