"""The embedded example: invented people, and two tiny models that the build script trained on them."""
