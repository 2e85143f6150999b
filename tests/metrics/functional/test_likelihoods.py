"""Shares and margins from log-likelihoods."""

from __future__ import annotations

import math

import pytest

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional import (
    hallucination_proxy,
    preference_accuracy,
    preference_margins,
    preference_wins,
)

RIGHT, WRONG = [-1.0, -2.0, -3.0, -4.0, -2.0], [-2.0, -1.0, -4.0, -4.0, -5.0]


def test_shares_counted_by_hand():
    assert preference_accuracy(RIGHT, WRONG) == 3.5 / 5
    assert hallucination_proxy(RIGHT, WRONG) == pytest.approx(1.5 / 5)
    assert hallucination_proxy(RIGHT, WRONG) == pytest.approx(preference_accuracy(WRONG, RIGHT))


def test_a_model_that_diverged_prefers_nothing():
    assert preference_wins([math.nan, -1.0, -math.inf], [-1.0, math.nan, -1.0]).tolist() == [0, 0, 0]


def test_margins_are_dpos():
    found = preference_margins([-1.0, -3.0], [-5.0, -3.0], [-2.0, -1.0], [-2.0, -4.0], beta=0.2)
    assert found.tolist() == pytest.approx([0.2 * ((-1 + 2) - (-5 + 2)), 0.2 * ((-3 + 1) - (-3 + 4))])


def test_what_is_wrong_is_named():
    with pytest.raises(MismatchError, match=r"Found shapes \(1,\) and \(2,\)"):
        preference_accuracy([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="at least one row"):
        hallucination_proxy([], [])
