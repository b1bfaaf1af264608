"""Results of the linear protocol that are there: shown where there are any, and waited for by nothing.

If they were inputs, a table would wait for GPU-hours, and a run would judge backbones again.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spd.config.design import Backbone
from spd.files import file_sha256, read_json


def results(backbones: Iterable[Backbone], folder: str) -> list[dict[str, Any]]:
    """Contents of these backbones' results. Raises ValueError for a file that is not JSON."""
    paths = [Path(folder, backbone.linear) for backbone in backbones]
    return [read_json(path) for path in paths if path.exists()]


def records(backbones: Iterable[Backbone], folder: str) -> dict[str, str]:
    """These backbones' results, which are their own records, and the table's record -> the hash of each."""
    names = [*(backbone.linear for backbone in backbones), "records/tables/linear_protocol.json"]
    paths = [Path(folder, name) for name in names]
    return {str(path): file_sha256(path) for path in paths if path.exists()}
