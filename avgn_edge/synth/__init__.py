"""The composed data set "digits in the wild": clips with known when and where."""
