"""Losses, data and the loop of section 3.4."""
