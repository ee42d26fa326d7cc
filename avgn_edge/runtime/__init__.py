"""Devices, sessions, crop, budget, exit, recognizer: the network at work (no torch)."""
