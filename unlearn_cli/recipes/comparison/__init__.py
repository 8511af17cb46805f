"""Runs side by side: read them, judge whether they are comparable, group, rank, and write the page."""
