"""Containers of audio and video, read by FFmpeg."""
