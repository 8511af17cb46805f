"""Tables and the model card."""
