"""Aggregates of MUSE from columns alone."""

from __future__ import annotations

import math

import pytest

from unlearnkit.evaluators.muse_summary import leaks, summarise


def said(*scores):
    return {
        "rouge_l_f": list(scores),
        "rouge_l_f_ou": [s / 2 for s in scores],
        "rouge_l_recall": [s / 4 for s in scores],
    }


def read(scores, tokens=(2, 6)):
    return {
        "min_k": list(scores),
        "min_k_ou": [-s for s in scores],
        "mean_nll": list(scores),
        "tokens": list(tokens),
    }


COLUMNS = {
    "verbmem": said(1.0, 0.5),
    "forget_knowmem": said(0.4, 0.0),
    "retain_knowmem": said(0.8, 0.8),
    "privleak_forget": read([1.0, 2.0]),
    "privleak_retain": read([1.0, 1.0]),
    "privleak_holdout": read([1.5, 3.0]),
}


def test_means_areas_and_losses():
    found = summarise(COLUMNS)
    assert (
        found["forget_verbmem"] == 0.75 and found["forget_verbmem_ou"] == 0.375 and found["verbmem"] == 0.1875
    )
    assert found["forget_knowmem"] == 0.2 and found["knowmem"] == 0.05
    assert found["retain_knowmem"] == 0.8 and found["utility"] == pytest.approx(0.2)
    assert found["auc_min_k"] == 0.75 and found["auc_min_k_ou"] == 0.25
    assert found["forget_loss"] == pytest.approx((2 * 1.0 + 6 * 2.0) / 8), "over tokens, not over texts"
    assert found["non_finite"] == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_score_that_is_not_finite_counts_and_leaves_no_number(bad):
    columns = COLUMNS | {"privleak_forget": read([1.0, 2.0]) | {"min_k": [1.0, bad], "mean_nll": [bad, 1.0]}}
    found = summarise(columns)
    assert found["auc_min_k"] is None and found["forget_loss"] is None and found["non_finite"] == 1
    assert (
        leaks(found, found, 0.5)["privleak"] is None and leaks(found, None, 0.5)["privleak_published"] is None
    )


def test_leaks():
    mine, retrained = {"auc_min_k": 0.8, "auc_min_k_ou": 0.9}, {"auc_min_k": 0.6, "auc_min_k_ou": 0.75}
    found = leaks(mine, retrained, 0.4)
    assert found["privleak"] == pytest.approx(-50) and found["privleak_published"] == pytest.approx(-50)
    assert found["privleak_ou"] == pytest.approx(-60)
    alone = leaks(mine, None, None)
    assert alone["privleak"] is None and alone["privleak_published"] is None
    assert alone["privleak_ou"] == pytest.approx(-80), "against 0.5"


def test_a_reference_that_knows_everything_gives_no_leak():
    known = {"auc_min_k": 1.0, "auc_min_k_ou": 1.0}
    assert leaks(known, known, None)["privleak"] is None
