from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import DataError
from unlearnkit.metrics.base import RowMeanMetric


class Values(RowMeanMetric):
    higher_is_better = True

    def update(self, values, failed=None):
        self.add(
            torch.as_tensor(values, dtype=torch.float64), None if failed is None else torch.as_tensor(failed)
        )


def test_the_mean_is_over_rows_not_over_batches():
    metric = Values()
    metric.update([1.0, 1.0, 1.0])
    metric.update([0.0], [True])
    assert metric.compute().item() == 0.75
    assert (metric.summary.value, metric.summary.n, metric.summary.non_finite) == (0.75, 4, 1)


def test_no_rows_is_an_error():
    metric = Values()
    metric.update([])
    with pytest.raises(DataError, match=r"`Values` must have seen at least one row"):
        metric.compute()


def test_forward_returns_the_batch_and_keeps_the_whole():
    metric = Values()
    assert metric([1.0, 0.0]).item() == 0.5
    assert metric([1.0]).item() == 1.0
    assert metric.compute().item() == pytest.approx(2 / 3)


def test_reset_forgets_everything():
    metric = Values()
    metric.update([1.0], [True])
    metric.reset()
    metric.update([0.5])
    assert metric.compute().item() == 0.5
    assert metric.summary.non_finite == 0


def test_unequal_ranks_equal_one_process(two_ranks):
    def feed(metric, rank):
        metric.update([0.1, 0.2, 0.4] if rank == 0 else [0.8], [False, True, False] if rank == 0 else [True])

    value, metric = two_ranks(Values, feed)
    assert value.item() == pytest.approx(0.375, rel=1e-15)
    assert (metric.summary.n, metric.summary.non_finite) == (4, 2)


def test_a_rank_without_rows(two_ranks):
    value, metric = two_ranks(Values, lambda metric, rank: metric.update([1.0, 0.0] if rank else []))
    assert (value.item(), metric.summary.n) == (0.5, 2)
