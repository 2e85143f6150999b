"""Draws by key: the right moments, one row's not another's, and a row's the same in any batch."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.keyed_draws import _mixed, derived, integers, normal, row_keys, uniform

N, FEW = 20_000, 2000


def keys(n=N, seed=0, round_=0):
    return row_keys(seed, round_, torch.arange(n))


def test_words_are_mixed_as_splitmix64_mixes_them():
    """Its first three outputs for the seed 1234567, as published."""
    golden = 0x9E3779B97F4A7C15
    states = [(1234567 + golden * n) % 2**64 for n in (1, 2, 3)]
    mixed = _mixed(torch.tensor([state - 2**64 * (state >= 2**63) for state in states]))
    assert [word % 2**64 for word in mixed.tolist()] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423
    ]  # fmt: skip


def test_keys_stay_what_they_were():
    """Runs of earlier versions are resumed with the same crops."""
    assert row_keys(0, 3, torch.tensor([7, 8])).tolist() == PINNED


PINNED = [-8254354391666542228, 5189936971927182499]

DRAWS = {
    "normal, rows": lambda: normal(keys(), 1),
    "normal, pixels of a row": lambda: normal(keys(1), 1, (N,))[0],
    "normal, rounds of a row": lambda: torch.cat([normal(keys(1, round_=r), 1) for r in range(FEW)]),
    "normal, streams of a row": lambda: torch.cat([normal(keys(1), s) for s in range(1, FEW + 1)]),
    "normal, descendants of a row": lambda: torch.cat([normal(derived(keys(1), s), 1) for s in range(FEW)]),
}


@pytest.mark.parametrize("of", DRAWS)
def test_normal_draws_have_the_moments_of_the_normal_distribution(of):
    """Within 4.5 standard errors: mean 1/sqrt(n), variance sqrt(2/n), skewness sqrt(6/n), kurtosis sqrt(24/n)."""
    drawn = DRAWS[of]().double()
    n = len(drawn)
    assert drawn.shape == (n,)
    found = [drawn.mean(), drawn.var() - 1, (drawn**3).mean(), (drawn**4).mean() - 3]
    errors = [1 / n, 2 / n, 15 / n, 96 / n]
    assert all(abs(float(value)) < 4.5 * math.sqrt(error) for value, error in zip(found, errors, strict=True))
    below = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    shares = (drawn[:, None] < below).double().mean(0)
    torch.testing.assert_close(shares, torch.special.ndtr(below), atol=4.5 * 0.5 / math.sqrt(n), rtol=0)


def test_uniform_draws_and_whole_numbers_come_equally_often():
    drawn = uniform(keys(), 2)
    assert drawn.min() >= 0 and drawn.max() < 1
    for counts in (
        torch.bincount((drawn * 50).long(), minlength=50),
        torch.bincount(integers(keys(), 3, 50)),
    ):
        assert len(counts) == 50
        assert ((counts - N / 50) ** 2 / (N / 50)).sum() < 95  # 49 degrees of freedom: once in 10 000 cases


@pytest.mark.parametrize(
    "pair",
    [
        lambda: (normal(keys(), 1), normal(keys(), 2)),
        lambda: (normal(keys(), 1), normal(derived(keys(), 0), 1)),
        lambda: (normal(derived(keys(), 0), 1), normal(derived(keys(), 1), 1)),
        lambda: (normal(keys(), 1), normal(keys(seed=1), 1)),
        lambda: (normal(keys(), 1), normal(keys(round_=1), 1)),
        lambda: (normal(keys(), 1)[1:], normal(keys(), 1)[:-1]),
        lambda: tuple(normal(keys(), 1, (2,)).T),
        lambda: (normal(keys(), 1), uniform(keys(), 2)),
        lambda: (normal(keys(), 1, (1,))[:, 0], normal(keys(), 1)),
    ],
    ids=["streams", "a descendant", "descendants", "seeds", "rounds", "rows", "pixels", "kinds", "shapes"],
)
def test_draws_are_independent(pair):
    """Neither they nor their squares are correlated, within 4.5 standard errors."""
    first, second = (part.double() for part in pair())
    for power in (1, 2):
        both = torch.stack([first**power, second**power])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 4.5 / math.sqrt(len(first))


def test_a_row_draws_the_same_in_any_batch():
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    own = keys(200)
    for draw in (
        lambda k: normal(k, 1, (2, 3, 3)),
        lambda k: uniform(k, 1, (4,)),
        lambda k: uniform(k, 1),
        lambda k: integers(k, 1, 1000),
        lambda k: derived(k, 5),
    ):
        assert torch.equal(draw(own)[order], draw(own[order]))
        assert torch.equal(draw(own)[:1], draw(own[:1]))
        assert len(draw(own[:0])) == 0


def test_a_longer_row_begins_like_a_shorter_one():
    assert torch.equal(normal(keys(3), 1, (10,))[:, :4], normal(keys(3), 1, (4,)))


def test_draws_are_fp32_and_finite_at_both_ends():
    ends = torch.tensor([0.5, 2.0**52 - 0.5], dtype=torch.float64) / 2**52
    assert torch.isfinite(torch.erfinv(2 * ends - 1)).all()
    assert normal(keys(2), 1).dtype == uniform(keys(2), 1).dtype == torch.float32
