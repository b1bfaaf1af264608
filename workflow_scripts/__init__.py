"""Scripts of the workflow's rules."""
