"""Read still images and fit them to the input of a model."""
