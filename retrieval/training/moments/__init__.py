"""Training Hammer models for moment localization."""
