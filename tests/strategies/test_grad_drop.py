"""GradDrop against algorithm 1 with the same draws, TorchJD's masks, and the statistics of its draws."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.strategies import GradDrop
from unlearnkit.strategies.base import seed_of
from unlearnkit.strategies.grad_drop import BLOCK, uniform
from unlearnkit.testing.given import given_round
from unlearnkit.testing.properties import (
    as_rule,
    assert_edge_cases,
    assert_scaling,
    assert_symmetric,
    mild_pairs,
)


def algorithm_1(g_r, g_f, draws):
    """P = (1 + sum/sum of sizes)/2; M_i = [P > U][g_i > 0] + [P < U][g_i < 0]; sum of M_i g_i."""
    purity = 0.5 * (1 + (g_r + g_f) / (g_r.abs() + g_f.abs()))
    masks = [(purity > draws) * (g > 0) + (purity < draws) * (g < 0) for g in (g_r, g_f)]
    return masks[0] * g_r + masks[1] * g_f


def test_it_is_algorithm_1():
    for g_r, g_f in mild_pairs():
        draws = uniform(seed_of(0, 0, 0), 0, len(g_r)).double()
        assert torch.equal(as_rule(GradDrop())(g_r, g_f), algorithm_1(g_r, g_f, draws))


def test_agrees_with_torchjd_on_the_same_draws(monkeypatch):
    aggregation = pytest.importorskip("torchjd.aggregation")
    for g_r, g_f in mild_pairs():
        draws = uniform(seed_of(0, 0, 0), 0, len(g_r)).double()
        with monkeypatch.context() as patched:
            patched.setattr(torch, "rand", lambda *_, draws=draws, **__: draws)
            expected = aggregation.GradDrop()(torch.stack([g_r, g_f]))
        torch.testing.assert_close(as_rule(GradDrop())(g_r, g_f), expected, rtol=1e-15, atol=0)


def test_what_agrees_is_kept_and_of_what_does_not_one_side_is():
    (g_r, g_f), *_ = mild_pairs(1, 2000)
    d = as_rule(GradDrop())(g_r, g_f)
    agree = g_r * g_f > 0
    torch.testing.assert_close(d[agree], (g_r + g_f)[agree])
    alone = torch.where(d == g_r, g_r, g_f)
    assert torch.equal(d[~agree], alone[~agree])
    assert 0.1 < (d == g_r)[~agree].double().mean() < 0.3  # g_f is four times as long


def test_the_mean_over_rounds_is_the_sum():
    g_r, g_f = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([-3.0, 1.0, 0.5]).double()
    strategy, total = GradDrop(), torch.zeros(3, dtype=torch.float64)
    for round_ in range(4000):
        strategy.round = round_
        total += strategy.combine([g_r], [g_f.clone()], None)[0]
    # Standard error of a mean of 4000 draws of spread 2 at most, times 4.
    torch.testing.assert_close(total / 4000, g_r + g_f, rtol=0, atol=4 * 2 / 4000**0.5)


def test_parameters_rounds_and_seeds_have_draws_of_their_own():
    g_r, g_f = torch.ones(64).double(), -torch.ones(64).double()
    first = GradDrop(seed=1)
    one, other = first.combine([g_r, g_r], [g_f.clone(), g_f.clone()], None)
    assert not torch.equal(one, other)
    again = GradDrop(seed=1).combine([g_r], [g_f.clone()], None)[0]
    assert torch.equal(one, again)
    assert not torch.equal(one, GradDrop(seed=2).combine([g_r], [g_f.clone()], None)[0])
    first.round = 1
    assert not torch.equal(one, first.combine([g_r], [g_f.clone()], None)[0])


def test_long_parameters_are_drawn_in_blocks_with_the_same_result():
    count = BLOCK + 5
    g_r = torch.randn(count, generator=torch.Generator().manual_seed(0))
    d = GradDrop().combine([g_r.view(3, -1)], [-2 * g_r.view(3, -1)], None)[0].view(-1)
    expected = algorithm_1(g_r, -2 * g_r, uniform(seed_of(0, 0, 0), 0, count))
    assert torch.equal(d, expected)


@pytest.mark.parametrize("key", [0, 1, seed_of(3, 4, 5)])
def test_draws_are_uniform_and_independent_of_where_one_begins(key):
    draws = uniform(key, 0, 100_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = torch.histc(draws, 50, 0, 1)
    assert ((counts - 2000) ** 2 / 2000).sum() < 86  # chi-square of 49 degrees, p = 0.001
    assert abs(torch.corrcoef(torch.stack([draws[:-1], draws[1:]]))[0, 1]) < 0.013  # 4 standard errors
    assert torch.equal(draws[12_345:20_000], uniform(key, 12_345, 7_655))
    beyond = uniform(key, 2**32, 1000)
    assert not torch.equal(beyond, draws[:1000])


def test_nothing_of_the_global_generator_is_used():
    before = torch.get_rng_state()
    as_rule(GradDrop())(*mild_pairs(1)[0])
    assert torch.equal(before, torch.get_rng_state())


def test_properties():
    assert_scaling(as_rule(GradDrop()))
    assert_symmetric(as_rule(GradDrop()))


def test_edge_cases():
    """The mean over draws judges: for b = -3a it is -2a, which raises the retain loss, and the step is skipped."""
    assert_edge_cases(GradDrop, sizes=(1000, 300_000))
    assert given_round(GradDrop(), [1.0, 2.0], [-1.0, -2.0])[0].skipped == "the gradients cancel"
    assert given_round(GradDrop(), [1.0, 2.0], [-3.0, -6.0])[0].skipped == "the gradients cancel"
