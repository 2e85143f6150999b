"""Min-k% with sets that are named, in both directions."""

from __future__ import annotations

import math

import pytest

from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.metrics.functional import min_k_membership, min_k_scores


def test_the_area_is_the_share_of_pairs_counted_by_hand():
    members, nonmembers = [0.1, 0.4, 0.9], [0.4, 0.8]
    pairs = [(m < n) + 0.5 * (m == n) for m in members for n in nonmembers]
    found = min_k_membership(members, nonmembers)
    assert found.auc == pytest.approx(sum(pairs) / len(pairs))
    assert found.reversed == pytest.approx(1 - found.auc)
    assert min_k_membership(nonmembers, members).auc == pytest.approx(found.reversed)


def test_scores_take_the_least_likely_tokens():
    text = [-5.0, -1.0, -4.0, 0.0, 0.0, -0.5, -0.5, -0.2, -0.1, -0.3]
    assert min_k_scores([text], share=0.2) == [4.5]
    assert min_k_scores([text], share=1.0)[0] == pytest.approx(1.16)


@pytest.mark.parametrize(("sets", "name"), [(([], [1.0]), "members"), (([1.0], []), "nonmembers")])
def test_an_empty_set_is_named(sets, name):
    with pytest.raises(DataError, match=f"`{name}` must hold the score of at least one text"):
        min_k_membership(*sets)


@pytest.mark.parametrize("share", [0.0, -0.2, 1.5, math.nan])
def test_a_share_is_a_share(share):
    with pytest.raises(ConfigurationError, match="`share` must be above 0 and at most 1"):
        min_k_scores([[-1.0]], share)


def test_a_model_that_diverged_has_no_area():
    assert all(map(math.isnan, min_k_membership([math.nan], [1.0])))
