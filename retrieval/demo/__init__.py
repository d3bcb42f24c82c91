"""The generated demo world: images, music and videos with exact captions and moments."""
