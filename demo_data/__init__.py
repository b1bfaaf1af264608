"""The generated world: archives in the layouts of VisA, MVTec-AD and ImageNet's class folders."""
