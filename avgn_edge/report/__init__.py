"""Reports for people: one self-contained page a clip, an index over many, and a page over an evaluation."""
