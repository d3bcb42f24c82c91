"""Contrastive training on pairs of media and captions."""
