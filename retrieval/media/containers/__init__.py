"""Read containers of audio and video with FFmpeg."""
