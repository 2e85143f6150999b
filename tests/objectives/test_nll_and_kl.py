"""NLLAndKL: SCRUB's retain side."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import NLL, KLToReference, NLLAndKL
from unlearnkit.testing.toys import ToyClassifier, toy_batch


@pytest.mark.parametrize(
    ("gamma", "alpha", "temperature"), [(1.0, 0.5, 1.0), (0.99, 0.001, 4.0), (0.0, 1.0, 2.0)]
)
def test_it_is_the_weighted_sum_of_both(gamma, alpha, temperature):
    model, teacher, batch = ToyClassifier(seed=1), ToyClassifier(seed=2), toy_batch(7)
    value = NLLAndKL(gamma, alpha, temperature)(model, batch, lambda: teacher)
    nll, kl = NLL()(model, batch).sums, KLToReference(temperature)(model, batch, lambda: teacher).sums
    torch.testing.assert_close(value.sums, gamma * nll + alpha * kl, rtol=1e-5, atol=1e-6)


def test_of_a_sequence_only_scored_units_count():
    model, batch = golden.current(), golden.batch()
    value = NLLAndKL(1.0, 1.0)(model, batch, golden.reference)
    expected = NLL()(model, batch).sums + KLToReference()(model, batch, golden.reference).sums
    torch.testing.assert_close(value.sums, expected, rtol=1e-5, atol=1e-6)
    assert value.counts.tolist() == golden.COUNTS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gamma": -1.0}, "gamma=-1.0, alpha=0.5"),
        ({"gamma": 0.0, "alpha": 0.0}, "not both 0"),
        ({"temperature": 0.0}, "`temperature` must be above 0"),
    ],
)
def test_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        NLLAndKL(**arguments)
