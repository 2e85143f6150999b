from __future__ import annotations

import pytest

from unlearnkit.errors import DataError
from unlearnkit.metrics import MinKMembership
from unlearnkit.metrics.functional import min_k_membership, min_k_scores

MEMBERS, NONMEMBERS = [[-0.1, -0.2], [-1.0, -3.0]], [[-2.0, -2.0], [-0.5, -0.1], [-4.0, -1.0]]


def test_it_equals_its_function_in_batches_and_keeps_both_directions():
    metric = MinKMembership(share=0.5)
    metric.update(members=MEMBERS[:1], nonmembers=NONMEMBERS)
    metric.update(members=MEMBERS[1:])
    expected = min_k_membership(min_k_scores(MEMBERS, 0.5), min_k_scores(NONMEMBERS, 0.5))
    assert metric.compute().item() == expected.auc
    assert metric.both == expected and expected.auc + expected.reversed == 1


def test_a_set_that_is_missing():
    metric = MinKMembership()
    metric.update(members=MEMBERS)
    with pytest.raises(DataError, match="`nonmembers` must hold"):
        metric.compute()
