from __future__ import annotations

import pytest

from unlearnkit.errors import DataError, UnknownNameError
from unlearnkit.metrics.parts import PartsMetric


class Two(PartsMetric):
    parts = ("left", "right")

    def compute(self):
        return self.totals.sum() * 0 + sum(self.means().values())


def test_means_are_over_rows():
    metric = Two()
    metric.update("left", [1.0, 2.0])
    metric.update("left", [6.0])
    metric.update("right", [0.5])
    assert metric.means() == {"left": 3.0, "right": 0.5}


def test_unknown_and_missing_parts():
    metric = Two()
    with pytest.raises(UnknownNameError, match="Did you mean 'left'"):
        metric.update("lefd", [1.0])
    metric.update("left", [1.0])
    with pytest.raises(DataError, match="`Two` must have rows of all 2 parts. Found none of right"):
        metric.means()


def test_ranks_with_different_parts(two_ranks):
    value, _ = two_ranks(Two, lambda metric, rank: metric.update(Two.parts[rank], [1.0, 3.0]))
    assert value.item() == 4.0
