"""The vector layer: arrays and ids in, scores and ids out. Imports nothing of the other folders."""
