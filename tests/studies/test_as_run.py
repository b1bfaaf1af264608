"""Defaults that changed since the studies ran: runs of more seeds must be the same method."""

import pytest

from studies import continued, mechanism


class Asked(Exception):
    pass


@pytest.mark.parametrize("study", [mechanism, continued])
def test_simclr_trains_by_the_loss_of_the_studys_runs(study, monkeypatch, tmp_path):
    def pretrain(_, *, recipe, **__):
        raise Asked(recipe.loss)

    monkeypatch.setattr(study, "pretrain", pretrain)
    with pytest.raises(Asked, match="infonce"):
        if study is mechanism:
            mechanism.run(None, "simclr", {"eta": 0.0}, 0)
        else:
            continued.run(None, tmp_path, {"method": "simclr", "changes": {}, "spd": {"eta": 0.0}, "seed": 0})
