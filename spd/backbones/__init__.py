"""Backbones: architectures, the one file format they are kept in, and the ways in from other people's
checkpoints."""
