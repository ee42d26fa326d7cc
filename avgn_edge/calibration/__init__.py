"""What a bundle learns from its user's clips: INT8 ranges, when an answer is sure enough, what each cost buys."""
