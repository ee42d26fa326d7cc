"""INT8 ranges, exit thresholds and device profiles."""
