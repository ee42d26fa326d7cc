"""Live sources: cameras, microphones, addresses, files played as live, standard input."""
