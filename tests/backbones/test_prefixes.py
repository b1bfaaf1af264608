"""Which prefix is taken for a wrapper's, and which for the network's own."""

import torch

from spd.backbones.prefixes import unwrapped, ways_to, without_torchs

ONE = torch.ones(1)


def _of(*keys):
    return dict.fromkeys(keys, ONE)


def test_a_networks_own_first_word_stays():
    state = _of("backbone.conv.weight", "backbone.fc.weight")
    assert unwrapped(state, lambda inside: "backbone.conv.weight" in inside) == (state, "")


def test_where_nothing_fits_only_what_all_keys_share_is_taken_off():
    assert unwrapped(_of("model.a", "model.net.b"), lambda inside: False) == (_of("a", "net.b"), "model.")
    assert unwrapped(_of("model.a", "b"), lambda inside: False) == (_of("model.a", "b"), "")
    assert unwrapped({}, lambda inside: False) == ({}, "")


def test_the_average_is_the_last_choice():
    state = _of("ema.a", "model.net.a")
    assert unwrapped(state, lambda inside: "a" in inside) == (_of("a"), "model.net.")
    assert unwrapped(_of("ema.a", "other"), lambda inside: "a" in inside) == (_of("a"), "ema.")


def test_words_inside_a_key_are_no_wrappers():
    assert without_torchs(_of("my_orig_mod.a", "x.module.b")) == _of("my_orig_mod.a", "x.module.b")
    assert ways_to(_of("momentum_encoder.a", "net.encoder.a", "encoder.b"), "encoder.") == ["", "net."]


def test_keys_that_would_become_one_are_left_alone():
    state = _of("a", "_orig_mod.a")
    assert without_torchs(state) == state
