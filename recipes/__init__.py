"""What trains one bundle: a folder each, one command each. Not part of the package."""
