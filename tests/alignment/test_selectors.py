"""Selectors as calls of their own: whom they take, ties by row, sizes and lengths."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.alignment import selectors
from unlearnkit.errors import ConfigurationError, MismatchError

ROWS = torch.tensor([50, 20, 30, 10, 40])
SCORES = torch.tensor([0.5, -2.0, 0.5, 3.0, -1.0], dtype=torch.float64)


def test_uniform_takes_all():
    found = selectors.uniform(ROWS)
    assert found.indices.tolist() == ROWS.tolist()
    assert found.ess == pytest.approx(5)


def test_random_is_a_function_of_its_seed():
    draws = [tuple(selectors.random(ROWS, 2, seed).indices.tolist()) for seed in range(8)]
    assert draws == [tuple(selectors.random(ROWS, 2, seed).indices.tolist()) for seed in range(8)]
    assert len(set(draws)) > 2
    state = torch.random.get_rng_state()
    selectors.random(ROWS, 2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_lowest_reward_and_highest_gain_break_ties_by_row():
    assert selectors.reward_lowest(ROWS, SCORES, 3).indices.tolist() == [20, 40, 30]
    found = selectors.top_gain(ROWS, SCORES, 2)
    assert found.indices.tolist() == [10, 30]
    assert found.weights.tolist() == [0.5, 0.5]
    assert torch.equal(found.gains, SCORES)


def test_positive_gains_have_weight_and_others_none():
    found = selectors.positive_gain(ROWS, SCORES)
    assert found.of(ROWS)[SCORES <= 0].tolist() == [0.0, 0.0]
    own = (SCORES[SCORES > 0] - SCORES[SCORES > 0].mean()) / SCORES[SCORES > 0].std(correction=0)
    torch.testing.assert_close(found.weights, torch.softmax(own, 0))
    raw = selectors.positive_gain(ROWS, SCORES, strength=2.0, standardise=False)
    torch.testing.assert_close(raw.weights, torch.softmax(SCORES[SCORES > 0] / 2, 0))
    assert selectors.positive_gain(ROWS, SCORES, "none").weights.tolist() == [1 / 3] * 3


def test_no_positive_gain_is_said():
    with pytest.raises(ConfigurationError, match=r"Found none of 5 \(highest -1\).*Unlearn nothing"):
        selectors.positive_gain(ROWS, SCORES.clamp_max(-1))


@pytest.mark.parametrize("size", [0, 6])
def test_sizes_out_of_range_are_refused(size):
    for call in (selectors.random, lambda r, s: selectors.top_gain(r, SCORES, s)):
        with pytest.raises(
            ConfigurationError, match=f"`size` must be from 1 to the number of candidates, 5. Found {size}"
        ):
            call(ROWS, size)


def test_scores_of_another_length_are_refused():
    for name, call in (
        ("rewards", lambda: selectors.reward_lowest(ROWS, SCORES[:4], 2)),
        ("gains", lambda: selectors.top_gain(ROWS, SCORES[:4], 2)),
        ("gains", lambda: selectors.positive_gain(ROWS, SCORES[:4])),
    ):
        with pytest.raises(MismatchError, match=f"`{name}` must hold one number per row. Found 4 for 5"):
            call()
