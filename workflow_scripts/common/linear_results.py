"""Results of the linear protocol that are there: shown where there are any, and waited for by nothing.

As inputs, a table would wait for GPU-hours, and a run would judge backbones anew.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spd.files import file_sha256, read_json

from spd.config.design import Backbone


def results(backbones: Iterable[Backbone], folder: str) -> list[dict[str, Any]]:
    """Contents of these backbones' results. Raises ValueError for a file that is not JSON."""
    paths = [Path(folder, backbone.linear) for backbone in backbones]
    return [read_json(path) for path in paths if path.exists()]


def records(backbones: Iterable[Backbone], folder: str) -> dict[str, str]:
    """Records of these backbones' results, and of the table -> the hash of each."""
    names = [*(backbone.linear for backbone in backbones), "tables/linear_protocol.json"]
    paths = [Path(folder, "records", name) for name in names]
    return {str(path): file_sha256(path) for path in paths if path.exists()}
