"""Perplexity by tokens, not by texts."""

from __future__ import annotations

import math

import pytest

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional import perplexity


def test_it_weighs_tokens():
    assert perplexity([3.0, 1.0], [1, 3]) == pytest.approx(math.e)
    assert perplexity([3.0, 1.0], [1, 3]) < (math.exp(3) + math.exp(1 / 3)) / 2


def test_it_has_no_largest_number():
    assert perplexity([1e6], [1]) == math.inf
    assert math.isnan(perplexity([math.nan, 1.0], [1, 1]))


def test_what_is_wrong_is_named():
    with pytest.raises(MismatchError, match="Found 1 for 2"):
        perplexity([1.0, 2.0], [1])
    with pytest.raises(DataError, match="at least one token"):
        perplexity([], [])
