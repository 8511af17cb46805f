"""Attacks on a run: settings, attacked models, stored curves, recovery."""
