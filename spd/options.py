"""The base of every options model: what a user may write in config.yaml, typed."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Immutable, strict options: an unknown key is an error, never silently ignored.

    Every part of the library keeps its own options in an `options.py` that imports neither torch
    nor numba, because the Snakefile builds the configuration model from them at every start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
