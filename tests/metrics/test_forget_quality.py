from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import MismatchError
from unlearnkit.metrics import ForgetQuality
from unlearnkit.metrics.functional import forget_quality

REFERENCE = [0.1, 0.4, 0.2, 0.9, 0.35, 0.7]
SAMPLE = [0.11, 0.6, math.inf, 0.95, 0.5, 0.8]


def test_equals_its_function_in_batches():
    metric = ForgetQuality(REFERENCE)
    metric.update(torch.tensor(SAMPLE[:4], dtype=torch.float64))
    metric.update(SAMPLE[4:])
    assert metric.compute().item() == forget_quality(SAMPLE, REFERENCE).p
    assert metric.result == forget_quality(SAMPLE, REFERENCE)


def test_reset_then_another_number_of_rows_is_refused():
    metric = ForgetQuality(REFERENCE)
    metric.update(SAMPLE)
    metric.reset()
    metric.update(SAMPLE[:3])
    with pytest.raises(MismatchError, match="Found 6 for 3"):
        metric.compute()


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric ForgetQuality")
@pytest.mark.parametrize("share", [3, 4, 6])
def test_unequal_ranks_equal_one_process(two_ranks, share):
    """The last case leaves one rank without rows."""

    def feed(metric, rank):
        for value in SAMPLE[:share] if rank == 0 else SAMPLE[share:]:
            metric.update([value])

    value, metric = two_ranks(lambda **kwargs: ForgetQuality(REFERENCE, **kwargs), feed)
    assert value.item() == forget_quality(SAMPLE, REFERENCE).p
    assert metric.result.n == 6


def test_float64_is_kept_so_that_no_ties_arise():
    close = [1.0 + i * 1e-12 for i in range(4)]
    metric = ForgetQuality([1.0 + i * 1e-12 + 4e-12 for i in range(4)])
    metric.update(close)
    metric.compute()
    assert metric.result.statistic == 1.0
