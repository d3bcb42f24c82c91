"""Training of Hammer models, which localize moments."""
