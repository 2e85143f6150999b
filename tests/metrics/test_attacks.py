from __future__ import annotations

import pytest

from unlearnkit.errors import DataError
from unlearnkit.metrics import MembershipAUC, PrivLeak
from unlearnkit.metrics.functional import attack_auc, privleak

FORGET, HOLDOUT = [0.1, 0.4, 0.2, 0.9], [0.35, 0.4, 0.7]


def test_equals_its_function_in_batches():
    metric = MembershipAUC()
    metric.update(FORGET[:2], HOLDOUT[:1])
    metric.update(forget=FORGET[2:])
    metric.update(holdout=HOLDOUT[1:])
    assert metric.compute().item() == attack_auc(FORGET, HOLDOUT)


def test_privleak_is_its_function():
    metric = PrivLeak(retrained_auc=0.45)
    metric.update(FORGET, HOLDOUT)
    assert metric.compute().item() == privleak(attack_auc(FORGET, HOLDOUT), 0.45)
    assert metric.higher_is_better is None and metric.ideal.startswith("0")


def test_a_side_without_rows():
    metric = MembershipAUC()
    metric.update(forget=FORGET)
    with pytest.raises(DataError, match="`holdout`"):
        metric.compute()


def test_ranks_that_hold_one_side_each(two_ranks):
    def feed(metric, rank):
        metric.update(**{"forget": FORGET} if rank else {"holdout": HOLDOUT})

    value, _ = two_ranks(MembershipAUC, feed)
    assert value.item() == attack_auc(FORGET, HOLDOUT)
