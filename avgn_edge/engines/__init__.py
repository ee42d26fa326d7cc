"""Inference engines behind one interface; a file an engine, imported when it is chosen."""
