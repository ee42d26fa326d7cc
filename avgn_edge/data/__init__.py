"""Labelled clips: reading them, composing them, and measuring a bundle on them."""
