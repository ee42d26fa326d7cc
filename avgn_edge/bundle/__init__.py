"""What export writes and the runtime reads: a manifest and the graphs (no torch)."""
