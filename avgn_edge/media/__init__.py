"""Video, audio, log-mel, moments: from a file to the network's inputs (no torch)."""
