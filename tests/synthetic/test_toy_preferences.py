"""The enumerable world: its rewards, its kinds of pairs, both variants."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from unlearnkit.batches import IGNORE
from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic.toy_preferences import (
    TOX,
    WORDS,
    says_tox,
    toy_preferences,
    toy_prompts,
    toy_reward,
    toy_tokens,
)


def reward_of(prompt: int, answer: tuple[int, ...]) -> torch.Tensor:
    return toy_reward(toy_prompts()[[prompt]], torch.tensor([answer]))[0]


def test_rewards_order_each_pair_unless_it_is_mislabelled() -> None:
    for pair in toy_preferences(mislabel_rate=0.2):
        better, worse = (float(reward_of(pair.prompt, text).sum()) for text in (pair.chosen, pair.rejected))
        assert (better < worse) == (pair.kind == "mislabelled")
        bad = int((reward_of(pair.prompt, pair.rejected) < 0).sum())
        assert {"toxic": bad >= 3, "shared": bad == 1}.get(pair.kind, bad == 0)
        assert (TOX in pair.rejected) == (pair.kind in ("toxic", "shared"))


@pytest.mark.parametrize(
    ("rate", "counts"),
    [
        (0.0, {"toxic": 160, "shared": 160, "harmless": 160}),
        (1 / 3, {"toxic": 160, "shared": 160, "mislabelled": 160}),
        (0.1, {"toxic": 160, "shared": 160, "harmless": 112, "mislabelled": 48}),
        (1.0, {"mislabelled": 480}),
    ],
)
def test_kinds_of_both_variants(rate: float, counts: dict[str, int]) -> None:
    assert Counter(pair.kind for pair in toy_preferences(mislabel_rate=rate)) == counts


def test_a_seed_makes_the_same_pairs_again() -> None:
    assert toy_preferences(seed=3) == toy_preferences(seed=3) != toy_preferences(seed=4)
    assert {pair.kind for pair in toy_preferences()[:50]} == {"toxic", "shared", "harmless"}


def test_batches() -> None:
    batch = toy_tokens([0, 5], [[0, 2, 2, 5], [6, 6, 6, 5]], second=[[1, 2, 2, 5], [0, 4, 4, 5]], first=3)
    assert batch["input_ids"].tolist() == [[14, 8, 0, 2, 2, 5], [14, 13, 6, 6, 6, 5]]
    assert batch["labels"][:, :2].eq(IGNORE).all()
    assert batch["alternative"]["input_ids"][0].tolist() == [14, 8, 1, 2, 2, 5]
    assert batch["index"].tolist() == batch["alternative"]["index"].tolist() == [3, 4]
    assert says_tox(batch["input_ids"][:, :2], batch["input_ids"][:, 2:]).tolist() == [False, True]
    assert len(WORDS) == 8


def test_bad_numbers() -> None:
    with pytest.raises(ConfigurationError, match="`mislabel_rate` must be a share from 0 to 1. Found 1.5"):
        toy_preferences(mislabel_rate=1.5)
    with pytest.raises(ConfigurationError, match="`pairs` must be an integer of at least 1. Found 0"):
        toy_preferences(0)
