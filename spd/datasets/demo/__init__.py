"""Generates the demo's archives: VisA's, MVTec-AD's and class-folder ImageNet's layouts, byte-identical for a seed."""
