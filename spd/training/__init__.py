"""Pre-training: the loop and its parts."""
