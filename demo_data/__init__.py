"""Generates the demo's archives in the layouts of VisA, MVTec-AD and class-folder ImageNet, byte for byte."""
