"""Gap and spread as in paper 002: recomputed from its own table, and where they differ from a mean of gaps."""

from __future__ import annotations

import math

import pytest

from unlearnkit.errors import MismatchError
from unlearnkit.metrics.functional.gap import NUMBERS, average_gap, average_std


def summary(*values):
    return dict(zip(NUMBERS, values, strict=True))


RETRAINED = [summary(94.61, 100.0, 94.25, 76.26)]


def test_the_gap_of_salun_with_dualoptim_in_paper_002():
    """FA .86, RA .94 (printed .60), TA 1.78, MIA .12: their mean is the .93 that is printed."""
    found = [summary(94.61 - 0.86, 99.06, 94.25 - 1.78, 76.26 + 0.12)]
    assert average_gap(found, RETRAINED) == pytest.approx(0.93, abs=0.0051)


def test_the_mean_over_seeds_comes_before_the_distance():
    seeds = [summary(0.4, 1.0, 0.9, 0.5), summary(0.6, 1.0, 0.9, 0.5)]
    assert average_gap(seeds, [summary(0.5, 1.0, 0.9, 0.5)]) == pytest.approx(0.0)


def test_spread_divides_by_n():
    seeds = [summary(0.4, 1.0, 0.9, 0.5), summary(0.6, 1.0, 0.9, 0.5)]
    assert average_std(seeds) == pytest.approx(0.1 / 4)


def test_a_diverged_seed_makes_it_nan():
    seeds = [summary(0.4, 1.0, 0.9, None), summary(0.6, 1.0, 0.9, 0.5)]
    assert math.isnan(average_gap(seeds, RETRAINED)) and math.isnan(average_std(seeds))


def test_refused():
    with pytest.raises(MismatchError, match="summaries with 'forget_accuracy'. Found no summary"):
        average_gap([], RETRAINED)
    with pytest.raises(MismatchError, match="summaries with 'b'. Found one with a"):
        average_std([{"a": 1.0}], ["b"])
