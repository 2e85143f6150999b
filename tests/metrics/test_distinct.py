from __future__ import annotations

import pytest

from unlearnkit.metrics import DistinctN
from unlearnkit.metrics.functional import distinct_n

TEXTS = ["the cat sat on the cat", "the cat", "a dog", ""]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_it_equals_its_function_in_batches(n):
    metric = DistinctN(n)
    metric.update(TEXTS[:1])
    metric.update(TEXTS[1:])
    assert metric.compute().item() == distinct_n(TEXTS, n)


def test_runs_that_two_ranks_share_count_once(two_ranks):
    value, _ = two_ranks(DistinctN, lambda metric, rank: metric.update(TEXTS[:1] if rank else TEXTS[1:]))
    assert value.item() == distinct_n(TEXTS, 2)
    assert DistinctN().compute().item() == 0.0
