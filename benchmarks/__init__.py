"""Measurements of this package, run by hand from the repository root; nothing here is installed."""
