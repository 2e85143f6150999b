from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.metrics import (
    ForgetProbability,
    ForgetTruthRatio,
    NormalisedProbability,
    PaperTruthRatio,
    Probability,
    TruthRatio,
)
from unlearnkit.metrics.functional import (
    forget_truth_ratio,
    normalised_probability,
    paper_truth_ratio,
    probability,
    retain_truth_ratio,
)

RIGHT = torch.tensor([0.5, 2.0, math.nan, 900.0])
WRONG = torch.tensor([[1.0, 3.0], [1.0, 0.5], [1.0, 1.0], [800.0, 1000.0]])


def in_batches(metric, *columns):
    metric.update(*(column[:1] for column in columns))
    metric.update(*(column[1:] for column in columns))
    return metric.compute().item()


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
@pytest.mark.parametrize(
    ("metric", "function"), [(TruthRatio, retain_truth_ratio), (ForgetTruthRatio, forget_truth_ratio)]
)
def test_truth_ratios_are_their_functions(metric, function, mean):
    found = metric(mean=mean)
    expected = function(RIGHT, WRONG, mean)
    assert in_batches(found, RIGHT, WRONG) == pytest.approx(expected.value, rel=1e-15)
    assert (found.summary.n, found.summary.non_finite) == (4, 1)


def test_the_papers_truth_ratio():
    assert in_batches(PaperTruthRatio(), RIGHT, WRONG) == pytest.approx(paper_truth_ratio(RIGHT, WRONG).value)


@pytest.mark.parametrize("metric", [Probability, ForgetProbability])
def test_probabilities_are_their_function(metric):
    found = metric()
    assert in_batches(found, RIGHT) == pytest.approx(probability(RIGHT).mean().item(), rel=1e-15)
    # The fourth row underflows to 0 but is no failure; the third is NaN.
    assert found.summary.non_finite == 1


def test_normalised_probability_is_its_function():
    found = NormalisedProbability()
    expected = normalised_probability(RIGHT, WRONG).mean().item()
    assert in_batches(found, RIGHT, WRONG) == pytest.approx(expected, rel=1e-15)
    assert found.summary.non_finite == 1


def test_forget_side_aims_at_the_reference():
    for metric in (ForgetProbability, ForgetTruthRatio):
        assert metric.higher_is_better is None
        assert "retrained" in metric.ideal
