"""Read what media files say about themselves: EXIF, IPTC, XMP, container metadata."""
