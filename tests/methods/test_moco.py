import copy
import math

import pytest
import torch
from torch.nn.functional import normalize

from spd.methods.build import build
from spd.seeds import permutation

LABELS = torch.zeros(8, dtype=torch.int64)


def test_key_encoder_starts_equal_and_follows_as_a_moving_average(small_recipe, small_views):
    model = build("resnet10_w4", small_recipe("moco", key_momentum=0.9), classes=3)
    query = [*model.backbone.parameters(), *model.projector.parameters()]
    for a, b in zip(query, model.key_encoder.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not b.requires_grad
    with torch.no_grad():
        for p in query:
            p.add_(1.0)
    before = [p.clone() for p in model.key_encoder.parameters()]
    model(small_views, LABELS, 0)
    for key, old, new in zip(model.key_encoder.parameters(), before, query, strict=True):
        torch.testing.assert_close(key.data, 0.9 * old + 0.1 * new.data)


def test_the_step_s_keys_enter_the_queue_after_it_and_the_pointer_wraps(small_recipe, small_views):
    model = build("resnet10_w4", small_recipe("moco"), classes=3)
    start = model.queue.clone()
    for step in range(3):  # a queue of 16, keys of 8
        model(small_views, LABELS, step)
        keys = model.new_keys.clone()
        at = 8 * (step % 2)
        assert torch.equal(model.queue[at : at + 8], start[at : at + 8])
        model.after_step(1.0)
        assert torch.equal(model.queue[at : at + 8], keys)
        start = model.queue.clone()
    assert int(model.pointer) == 8
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(8))


def test_loss_and_keys_by_hand(small_recipe, small_views):
    model = build("resnet10_w4", small_recipe("moco", batch_norm_group=4, key_momentum=1.0), classes=3)
    twin = copy.deepcopy(model)
    out = model(small_views, LABELS, 5)
    q = normalize(twin.projector(twin.backbone(small_views["q"])), dim=1)
    # keys in the order of a permutation, so that their BatchNorm groups are not the queries' ones
    order = permutation(8, "moco keys", 5)
    k = torch.empty(8, 6)
    k[order] = normalize(twin.key_encoder(small_views["k"][order]), dim=1).detach()
    positive, negative = torch.exp((q * k).sum(1) / 0.2), torch.exp(q @ twin.queue.T / 0.2).sum(1)
    torch.testing.assert_close(out["loss"], -torch.log(positive / (positive + negative)).mean())


def test_keys_of_another_step_meet_other_images(small_recipe, small_views):
    model = build("resnet10_w4", small_recipe("moco", batch_norm_group=4, key_momentum=1.0), classes=3)
    keys = []
    for step in range(2):
        model(small_views, LABELS, step)
        keys.append(model.new_keys)
    assert not torch.allclose(keys[0], keys[1])


def test_no_batch_norm_in_the_head_and_expected_loss(small_recipe):
    model = build("resnet10_w4", small_recipe("moco"), classes=3)
    assert [type(m).__name__ for m in model.projector] == ["Linear", "ReLU", "Linear"]
    assert model.expected_loss == pytest.approx(math.log(17))
