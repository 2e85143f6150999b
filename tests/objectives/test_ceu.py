"""CEU against the golden vector and its own gradient in the logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import CEU
from unlearnkit.testing.toys import ToyClassifier, toy_batch


@pytest.mark.parametrize(
    ("skip", "expected", "counts"), [(0, golden.CEU_SKIP_0, [3, 2]), (1, golden.CEU_SKIP_1, [2, 1])]
)
def test_the_token_mean_is_the_golden_value(skip, expected, counts):
    value = CEU(skip)(golden.current(), golden.batch())
    assert value.counts.tolist() == counts
    assert golden.loss(value) == pytest.approx(expected, rel=2e-9)


def test_it_is_the_cross_entropy_to_the_distribution_without_the_truth():
    model, batch = ToyClassifier(seed=1), toy_batch(7)
    value = CEU(skip=0)(model, batch)
    logits = model(batch)
    without = logits.detach().clone()
    without[range(7), batch["targets"]] = -torch.inf
    torch.testing.assert_close(value.sums, cross_entropy(logits, without.softmax(-1), reduction="none"))


def test_the_gradient_vanishes_where_the_truth_has_no_probability_left():
    model = golden.current()
    with torch.no_grad():
        for row, place, token in ((0, 1, 2), (0, 2, 1), (0, 3, 3), (1, 0, 0), (1, 1, 3)):
            model.values[row, place, token] = -60.0
    CEU(skip=0)(model, golden.batch()).sums.sum().backward()
    assert model.values.grad.abs().max() < 1e-12


def test_refused():
    with pytest.raises(ConfigurationError, match=r"`skip` must be 0 or above.*Found -1"):
        CEU(-1)
