"""Export hits as clips, timelines, playlists and contact sheets."""
