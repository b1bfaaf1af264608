"""Readers of data sets: a folder on disk to a manifest."""
