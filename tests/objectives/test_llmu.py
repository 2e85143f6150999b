"""LLMU: its two terms, exact over micro-batches, and the public code's means."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD

from tests.modules.tiny import tiny_lm, tokens
from tests.objectives import golden
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import LLMU, NLL, AscentNLL, Mismatch


def batch():
    return tokens(6, seed=1) | {"alternative": tokens(6, seed=2)}


def test_it_is_the_difference_of_two_means_a_sequence():
    model, given = tiny_lm(), batch()
    own = model.losses(given) / model.counts(given)
    other = model.losses(given["alternative"]) / model.counts(given["alternative"])
    value = LLMU(epsilon=0.5)(model, given)
    torch.testing.assert_close(value.sums, 0.5 * other - own)
    assert value.counts.tolist() == [1.0] * 6


def test_parity_is_the_sum_of_two_token_means():
    model, given = tiny_lm(), batch()
    value = LLMU(epsilon=0.5, parity="closer-look")(model, given)
    expected = golden.loss(AscentNLL()(model, given)) + 0.5 * golden.loss(Mismatch()(model, given))
    assert golden.loss(value) == pytest.approx(expected, rel=1e-5)


def test_micro_batches_are_exact_and_parity_averages_them():
    whole, found = batch(), {}
    cut = [
        {n: v[rows] for n, v in whole.items() if n != "alternative"}
        | {"alternative": {n: v[rows] for n, v in whole["alternative"].items()}}
        for rows in (slice(0, 1), slice(1, 6))
    ]
    for parity in ("paper", "closer-look"):
        for name, given in (("whole", whole), ("cut", cut)):
            model = tiny_lm()
            host = PlainHost(
                model, forget=LLMU(parity=parity), retain=NLL(), optimizer=SGD(model.parameters(), lr=0.1)
            )
            found[parity, name] = host.gradients("forget", {"forget": given, "retain": None})[0].item()
    assert found["paper", "cut"] == pytest.approx(found["paper", "whole"], rel=1e-5)
    model = tiny_lm()
    means = [golden.loss(LLMU(parity="closer-look")(model, part)) for part in cut]
    assert found["closer-look", "cut"] == pytest.approx(sum(means) / 2, rel=1e-5)


def test_a_sequence_without_a_scored_token_counts_nothing():
    given = batch()
    given["labels"] = torch.full_like(given["labels"], -100)
    model = tiny_lm()
    for parity, sums in (("paper", 0.0), ("closer-look", None)):
        value = LLMU(parity=parity)(model, given)
        assert value.counts.sum() == 0
        assert sums is None or value.sums.abs().sum() == sums


def test_refused():
    with pytest.raises(ConfigurationError, match="`epsilon` must be 0 or above"):
        LLMU(-1.0)
    with pytest.raises(UnknownNameError, match="`parity` must be one of"):
        LLMU(parity="tofu")
    with pytest.raises(ConfigurationError, match=r"TOFU\(alternatives='mismatch'\)"):
        LLMU()(golden.current(), golden.batch())
