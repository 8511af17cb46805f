"""Benchmarks by name, one file each: where its files lie, its splits and columns, its metrics, its published numbers."""
