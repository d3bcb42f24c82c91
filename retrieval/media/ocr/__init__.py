"""Read the words in images and video frames."""
