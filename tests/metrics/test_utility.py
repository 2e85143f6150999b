from __future__ import annotations

import math

import pytest

from unlearnkit.errors import DataError, NonFiniteError, UnknownNameError
from unlearnkit.metrics import ModelUtility
from unlearnkit.metrics.functional import UTILITY_PARTS, model_utility


def test_the_harmonic_mean_of_nine_means():
    metric = ModelUtility()
    parts = {}
    for i, part in enumerate(UTILITY_PARTS, start=1):
        metric.update(part, [0.1 * i, 0.05])
        metric.update(part, [0.02])
        parts[part] = (0.1 * i + 0.07) / 3
    assert metric.compute().item() == pytest.approx(model_utility(parts).value, rel=1e-14)
    assert metric.result.parts == pytest.approx(parts)


def test_unknown_part():
    with pytest.raises(UnknownNameError, match=r"`part` must be one of: .* Did you mean 'retain_rouge'"):
        ModelUtility().update("retain_rogue", [1.0])


def test_a_part_without_rows():
    metric = ModelUtility()
    for part in UTILITY_PARTS[1:]:
        metric.update(part, [1.0])
    with pytest.raises(DataError, match="Found none of retain_probability"):
        metric.compute()


def test_nan_is_not_swallowed():
    metric = ModelUtility()
    for part in UTILITY_PARTS:
        metric.update(part, [math.nan])
    with pytest.raises(NonFiniteError, match="retain_probability"):
        metric.compute()


def test_ranks_that_hold_different_parts(two_ranks):
    def feed(metric, rank):
        for i, part in enumerate(UTILITY_PARTS):
            if i % 2 == rank:
                metric.update(part, [0.5, 0.7])

    value, _ = two_ranks(ModelUtility, feed)
    assert value.item() == pytest.approx(0.6, rel=1e-14)
