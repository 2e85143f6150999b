"""RMU's mean of squares: exact, and as the public code's broadcast has it."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.hidden_distance import hidden_states, mean_squares
from unlearnkit.testing.toys import ToyClassifier, toy_batch

MASK = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()


def distances():
    """Return states whose squares add up to 3 over the first row's 2 tokens and to 10 over the second's 5."""
    hidden = torch.zeros(2, 5, 4, dtype=torch.float64)
    hidden[0, :2], hidden[1] = 1.5**0.5, 2**0.5
    return hidden + torch.where(MASK, 0.0, 99.0)[..., None]


def test_each_sample_is_a_mean_over_its_own_tokens():
    value = mean_squares(distances(), torch.zeros(4), MASK, "paper")
    assert value.sums.tolist() == pytest.approx([1.5, 2.0])
    assert golden.loss(value) == pytest.approx(golden.RMU_EXACT)


def test_parity_multiplies_two_means():
    value = mean_squares(distances(), torch.zeros(4), MASK, "open-unlearning")
    assert golden.loss(value) == pytest.approx(golden.RMU_AS_CODED)


def test_a_sample_without_a_token_counts_nothing():
    value = mean_squares(distances(), torch.zeros(4), MASK & torch.tensor([[True], [False]]), "paper")
    assert (value.sums[1].item(), value.counts.tolist()) == (0.0, [1.0, 0.0])


def test_a_model_without_hidden_states_is_refused():
    with pytest.raises(ConfigurationError, match=r"`model` must offer hidden_states.*Found a ToyClassifier"):
        hidden_states(ToyClassifier(), toy_batch(2), 0)
