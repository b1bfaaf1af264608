"""Data sets: reading, unpacking, checking, decoding."""
