"""What every room stands on: errors, files, processes, signals, text. It imports nothing of the package."""
