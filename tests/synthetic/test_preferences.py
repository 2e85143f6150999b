"""Generated preference pairs: truth, labels, kinds, groups of prompts."""

from __future__ import annotations

from collections import Counter

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import PreferenceWorld, fictitious_preferences


@pytest.mark.parametrize("rate", [0.0, 1 / 3, 1.0])
def test_labels_are_true_but_for_the_mislabelled(rate: float) -> None:
    rows = fictitious_preferences(mislabel_rate=rate, seed=1)
    assert Counter(row["negative"] == "mislabelled" for row in rows)[True] == round(480 * rate)
    reward = PreferenceWorld(1).reward
    for row in rows:
        true = reward([row["prompt"]] * 2, [row["chosen"], row["rejected"]])
        assert true == [row["true_chosen"], row["true_rejected"]]
        assert (true[0] < true[1]) == (row["negative"] == "mislabelled")
        assert row["score_chosen"] > row["score_rejected"]
        assert row["kind"] in ("harmful", "harmless")


def test_prompts_repeat_and_half_are_harmful() -> None:
    rows = fictitious_preferences(pairs=100, prompts=40)
    counts = Counter(row["prompt"] for row in rows)
    assert len(counts) == 40
    assert set(counts.values()) == {2, 3}
    assert len({row["prompt"] for row in rows if row["kind"] == "harmful"}) == 20


def test_the_seed_makes_them_again() -> None:
    assert fictitious_preferences(seed=2) == fictitious_preferences(seed=2) != fictitious_preferences(seed=3)


def test_bad_numbers() -> None:
    for arguments, message in (
        ({"prompts": 1}, "`prompts` must be an integer from 2 to 336. Found 1"),
        ({"pairs": 119}, "`pairs` must be an integer of at least 120. Found 119"),
        ({"mislabel_rate": -0.1}, "`mislabel_rate` must be a share from 0 to 1. Found -0.1"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            fictitious_preferences(**arguments)
