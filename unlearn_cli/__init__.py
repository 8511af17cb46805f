"""`unlearn`: make a causal language model forget chosen examples, and prove what happened."""

__version__ = "0.1.0"
