"""SimNPO against the golden vector and its limits."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives import golden
from tests.objectives.naive import lengths, log_sigmoid, random_batch, random_lm, sequence_sums
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import SimNPO


def test_the_mean_over_sequences_is_the_golden_value():
    value = SimNPO(beta=4.5)(golden.current(), golden.batch())
    assert value.counts.tolist() == [1.0, 1.0]
    assert golden.loss(value) == pytest.approx(golden.SIMNPO_BETA_45, rel=5e-8)


@pytest.mark.parametrize(("beta", "delta"), [(0.1, 0.0), (2.5, 0.7), (4.5, 2.0)])
def test_equals_the_equation_written_naively(beta, delta):
    value = SimNPO(beta, delta)(golden.current(), golden.batch()).sums.tolist()
    for found, nll, count in zip(value, golden.NLL_SUMS, golden.COUNTS, strict=True):
        expected = -(2 / beta) * math.log(1 / (1 + math.exp(-beta * (nll / count - delta))))
        assert found == pytest.approx(expected, rel=1e-7)


def test_as_beta_falls_its_gradient_is_ascent_on_sequence_means():
    found, expected = golden.current(), golden.current()
    SimNPO(beta=1e-7)(found, golden.batch()).sums.sum().backward()
    (-(expected.losses(golden.batch()) / torch.tensor(golden.COUNTS))).sum().backward()
    torch.testing.assert_close(found.values.grad, expected.values.grad, rtol=1e-5, atol=1e-8)


def test_a_sequence_without_a_scored_token_counts_nothing():
    labels = golden.LABELS.clone()
    labels[1] = -100
    model = golden.current()
    value = SimNPO()(model, golden.batch() | {"labels": labels})
    assert (value.counts.tolist(), value.sums[1].item()) == ([1.0, 0.0], 0.0)
    value.sums.sum().backward()
    assert torch.isfinite(model.values.grad).all()


def test_refused():
    with pytest.raises(ConfigurationError, match="`beta` must be above 0"):
        SimNPO(beta=0.0)


def test_equals_the_equation_on_a_random_language_model():
    model, batch = random_lm(0), random_batch()
    means = [total / n for total, n in zip(sequence_sums(model, batch), lengths(batch), strict=True)]
    expected = [-(2 / 0.5) * log_sigmoid(0.5 * (mean - 1.0)) for mean in means]
    assert SimNPO(0.5, delta=1.0)(model, batch).sums.tolist() == pytest.approx(expected, rel=1e-4)
    assert max(expected) > 1.1 * min(expected)
