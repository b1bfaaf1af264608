"""Anomaly detectors on frozen features: PaDiM and PatchCore."""
