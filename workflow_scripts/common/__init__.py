"""What the jobs share; nothing here decides a result."""
