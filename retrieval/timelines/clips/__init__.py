"""Cut clips from videos and recordings, by encoding or by copying streams."""
