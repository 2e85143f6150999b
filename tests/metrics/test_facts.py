from __future__ import annotations

import pytest

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics import FactAccuracy, ForgetFactAccuracy


def test_rows_without_facts_are_not_counted():
    metric = FactAccuracy()
    metric.update(["Ada in Lagos", "nobody"], [("Ada", "Lagos"), ("Ada",)])
    metric.update(["anything"], [()])
    assert metric.compute().item() == 0.5
    assert metric.summary.n == 2


def test_no_facts_at_all_is_an_error():
    metric = FactAccuracy()
    metric.update(["anything"], [()])
    with pytest.raises(DataError, match="at least one row"):
        metric.compute()


def test_unequal_lists_are_refused():
    with pytest.raises(MismatchError, match="`facts`"):
        FactAccuracy().update(["a"], [])


def test_on_the_forget_set_the_reference_is_the_aim():
    assert ForgetFactAccuracy.higher_is_better is None
    assert "retrained" in ForgetFactAccuracy.ideal
