"""Recognition of a stream: a rolling window of moments, and the events found in it (AVGN, 3.5, on and on)."""
