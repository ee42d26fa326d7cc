"""A network that no line of the package knows: two graphs, and three offers."""
