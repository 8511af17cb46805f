"""One file for each metric: numpy on saved measurements, never a model."""
