import hashlib

import pytest

from spd.config.design import Backbone
from workflow_scripts.common.linear_results import records, results


def test_only_what_is_there_is_shown(tmp_path):
    folder, both = str(tmp_path), [Backbone("sup", 0), Backbone("moco", 1)]
    assert (results(both, folder), records(both, folder)) == ([], {})
    for name in ("linear/moco-seed1.json", "records/tables/linear_protocol.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"top1": 0.5}')
    digest = hashlib.sha256(b'{"top1": 0.5}').hexdigest()
    assert results(both, folder) == [{"top1": 0.5}]
    assert records(both, folder) == {
        f"{folder}/linear/moco-seed1.json": digest,
        f"{folder}/records/tables/linear_protocol.json": digest,
    }
    (tmp_path / "linear/sup-seed0.json").write_text("{")
    with pytest.raises(ValueError, match=r"linear/sup-seed0\.json"):
        results(both, folder)
