"""Selection without gains: by chance, and by reward."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from unlearnkit.alignment import RandomSelector, RewardSelector
from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError, UnlearnKitError

NONE = torch.zeros(0)


def data(rewards: list[float], reward: object = "own") -> SimpleNamespace:
    rows = [SimpleNamespace(index=10 + place, question="q", answer=str(place)) for place in range(4)]
    own = None if reward is None else lambda prompts, answers: rewards
    return SimpleNamespace(seed=5, reward=own, samples=lambda side: rows)


def test_by_chance_with_the_seed_of_the_data() -> None:
    rows, one, other = torch.arange(40), RandomSelector(size=8), RandomSelector(size=8, seed=6)
    one.bind(data([]))
    other.bind(data([]))
    weights = one.first(rows, NONE)
    assert weights.sum() == pytest.approx(1.0) and set(weights.tolist()) == {0.0, 0.125}
    assert not torch.equal(weights, other.first(rows, NONE))
    assert torch.equal(weights, RandomSelector(size=8, seed=5).first(rows, NONE))
    assert one.grow(rows, NONE, weights) is weights and not one.needs_gains


def test_the_lowest_rewards_go_by_row_and_not_by_place() -> None:
    selector = RewardSelector(size=2)
    selector.bind(data([0.5, -1.0, 2.0, 0.0]))
    rows = torch.tensor([13, 10, 11, 12])
    assert selector.first(rows, NONE).tolist() == [0.5, 0.0, 0.5, 0.0]
    with pytest.raises(MismatchError, match="Found row 14 besides"):
        selector.first(torch.tensor([13, 14]), NONE)


@pytest.mark.parametrize(
    ("rewards", "size", "error", "message"),
    [
        ([0.0, math.nan, 0.0, 0.0], 2, NonFiniteError, "`reward` must return finite numbers"),
        ([0.0, 0.0], 2, MismatchError, "`reward` must return"),
        ([0.0, 0.0, 0.0, 0.0], 5, ConfigurationError, "from 1 to the number of candidates, 4. Found 5"),
        ([0.0, 0.0, 0.0, 0.0], 0, ConfigurationError, "`size` must be 1 or above. Found 0"),
    ],
)
def test_bad_input(rewards: list[float], size: int, error: type[UnlearnKitError], message: str) -> None:
    def run() -> None:
        selector = RewardSelector(size)
        selector.bind(data(rewards))
        selector.first(torch.arange(10, 14), NONE)

    with pytest.raises(error, match=message):
        run()


def test_data_without_a_reward() -> None:
    with pytest.raises(ConfigurationError, match="`text_reward` must be given"):
        RewardSelector(2).bind(data([], reward=None))
