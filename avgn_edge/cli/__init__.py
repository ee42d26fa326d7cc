"""What the command line needs to talk to a person or a pipe: lines, tables, a progress bar, and a file a command."""
