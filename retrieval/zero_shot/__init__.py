"""Zero-shot tasks: classification with text labels, and storyboards."""
