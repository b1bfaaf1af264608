"""SPot-the-Difference (SPD) pre-training and the benchmark that judges it.

A library that knows nothing of Snakemake or of where results lie. Importing `spd` imports no
heavy dependency: torch, numba and mlflow are imported by the modules that need them.
"""

__version__ = "0.1.0"
