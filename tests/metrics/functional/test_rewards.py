"""Any callable as a reward, and what it must not return."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unlearnkit.errors import DataError, MismatchError, NonFiniteError
from unlearnkit.metrics.functional import response_rewards


@pytest.mark.parametrize("wrap", [list, tuple, np.array, torch.tensor])
def test_sequences_of_any_kind(wrap):
    assert response_rewards(lambda p, r: wrap([0.5, -1.0]), ["a", "b"], ["x", "y"]) == [0.5, -1.0]


def test_rewards_of_tokens_are_summed():
    tokens = [[1.0, 2.0], torch.tensor([0.5]), []]
    assert response_rewards(lambda p, r: tokens, ["a"] * 3, ["x"] * 3) == [3.0, 0.5, 0.0]


@pytest.mark.parametrize("found", [[1.0], [1.0, 2.0, 3.0], 1.0, None, "ab"])
def test_another_number_of_values(found):
    with pytest.raises(
        MismatchError, match="`reward` must return one value for each of the 2 responses. Found"
    ):
        response_rewards(lambda p, r: found, ["a", "b"], ["x", "y"])


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), [1.0, float("nan")], [1e308, 1e308]])
def test_a_reward_that_is_no_finite_number(wrong):
    with pytest.raises(NonFiniteError, match=r"Found (nan|inf) for response 1 \('y'\)"):
        response_rewards(lambda p, r: [0.0, wrong], ["a", "b"], ["x", "y"])


def test_a_reward_that_is_no_number():
    with pytest.raises(DataError, match="`reward` must return numbers"):
        response_rewards(lambda p, r: ["good"], ["a"], ["x"])


def test_prompts_and_responses_go_together():
    with pytest.raises(MismatchError, match="Found 1 for 2"):
        response_rewards(lambda p, r: [0.0], ["a", "b"], ["x"])
    assert response_rewards(lambda p, r: pytest.fail("asked about nothing"), [], []) == []
