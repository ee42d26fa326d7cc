"""The recipe of the packaged bundle, and the tables of its accuracy. Not part of the package."""
