"""Exact threshold metrics of image and pixel scores, their curves, and their aggregation over runs."""
