"""Batched views for self-supervised learning: random draws (`draw_*`) apart from application (`apply_*`)."""
