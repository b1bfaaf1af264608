"""Data sets: fetched, unpacked, read into a manifest, checked; nothing downstream asks which one it is."""
