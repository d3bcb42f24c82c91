"""Classification with text labels, storyboards, and visual words: no training needed."""
