"""Losses of pre-training, as pure functions of embeddings."""
