"""Measuring, the only cost of evaluation on the device; scoring and gates, which need no model."""
