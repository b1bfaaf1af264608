"""Pre-training: one loop for a CPU, a GPU and torchrun, the same maths on each."""
