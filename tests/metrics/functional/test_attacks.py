"""Scores and areas against naive transcriptions; privleak in MUSE's own form."""

from __future__ import annotations

import math
import random
import zlib

import numpy as np
import pytest

from unlearnkit.errors import DataError
from unlearnkit.metrics.functional import ATTACKS, attack_auc, min_k_score, privleak, zlib_score


def some(n, seed, shift=0.0):
    draw = random.Random(seed)
    return [round(draw.gauss(shift, 1.0), 1) for _ in range(n)]  # rounded, so that ties occur


def test_the_six_attacks():
    assert ATTACKS == ("loss", "zlib", "reference", "gradnorm", "min_k", "min_k++")


@pytest.mark.parametrize("n", [1, 2, 3, 5, 12, 41])
def test_min_k_takes_the_lowest_two_fifths(n):
    values = some(n, n)
    lowest = np.sort(np.array(values))[: max(1, int(0.4 * n))]
    assert min_k_score(values) == pytest.approx(-lowest.mean())


def test_min_k_of_nothing_and_of_nan():
    assert min_k_score([]) == 0.0
    assert math.isnan(min_k_score([0.0, math.nan, -5.0]))


def test_zlib_counts_compressed_bytes():
    text = "Ada Obi wrote “Salt”."
    assert zlib_score(3.0, text) == 3.0 / len(zlib.compress(bytes(text, "utf-8")))


@pytest.mark.parametrize(("n", "m", "shift"), [(5, 7, 0.0), (40, 30, 1.0), (1, 1, 0.0)])
def test_auc_is_the_share_of_ordered_pairs(n, m, shift):
    forget, holdout = some(n, 1), some(m, 2, shift)
    pairs = [(h > f) + 0.5 * (h == f) for f in forget for h in holdout]
    assert attack_auc(forget, holdout) == pytest.approx(sum(pairs) / len(pairs))
    assert attack_auc(holdout, forget) == pytest.approx(1 - sum(pairs) / len(pairs))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_model_has_no_area(value):
    assert math.isnan(attack_auc([0.1, value], [0.2]))
    assert math.isnan(privleak(attack_auc([0.1], [value]), 0.5))


@pytest.mark.parametrize("name", ["forget", "holdout"])
def test_an_empty_side_is_refused(name):
    with pytest.raises(DataError, match=f"`{name}` must hold at least one score"):
        attack_auc(**{"forget": [1.0], "holdout": [1.0], name: []})


def test_privleak_is_muses():
    """MUSE's area is that of members against the others, one minus ours; its constants for News and Books."""
    for retrained in (0.4772, 0.5393):
        for auc in (0.0, 0.3, 0.9, 1.0):
            theirs = ((1 - auc) - retrained) / retrained * 100
            assert privleak(auc, 1 - retrained) == pytest.approx(theirs, rel=1e-8, abs=1e-8)
    assert privleak(0.7, 0.7) == 0.0
