"""From rows to scores: splits, measurements, scores, the outcome of a run, gates."""
