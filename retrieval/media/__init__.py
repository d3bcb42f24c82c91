"""Read media files: list sources, decode images, audio and video for the encoders."""
