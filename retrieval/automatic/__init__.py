"""Collections that are created and updated for a media folder by searching it."""
