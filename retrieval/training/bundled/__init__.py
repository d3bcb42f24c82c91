"""Training of the bundled models on the generated demo world."""
