"""The rules that U2A asks: the sign filter, the paper's growth, a given file."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.alignment import GainFilter, GivenSelection, GrowingSelector, MarginalGains
from unlearnkit.alignment.outer import reweighed
from unlearnkit.alignment.selectors import top_gain
from unlearnkit.errors import ConfigurationError, MismatchError, UnknownNameError, UnlearnKitWarning

ROWS = torch.arange(100, 110)
GAINS = torch.tensor([5.0, -3, 1, 0, 2, -1, 4, -2, 3, 0.5], dtype=torch.float64)


def support(weights):
    return ROWS[weights > 0].tolist()


def test_the_filter_selects_anew_each_round():
    rule = GainFilter()
    first = rule.first(ROWS, GAINS)
    assert support(first) == [100, 102, 104, 106, 108, 109]
    assert first.argmax().item() == 0
    then = rule.grow(ROWS, -GAINS, first)
    assert support(then) == [101, 105, 107]
    assert torch.equal(rule.grow(ROWS, GAINS.clamp_max(0), then), then)
    with pytest.raises(ConfigurationError, match="above 0 for a candidate"):
        rule.first(ROWS, GAINS.clamp_max(0))


def test_growth_starts_with_the_m_highest_gains_alike():
    first = GrowingSelector(initial=3).first(ROWS, GAINS)
    assert support(first) == [100, 106, 108]
    assert first[first > 0].tolist() == [1 / 3] * 3


def test_growth_seeds_what_it_admits_and_keeps_the_simplex():
    """An admitted sample would stay at 0 under multiplicative steps: it is given 1/s first."""
    rule = GrowingSelector(initial=3, added=2, steps=0)
    grown = rule.grow(ROWS, GAINS, rule.first(ROWS, GAINS))
    assert support(grown) == [100, 102, 104, 106, 108]
    torch.testing.assert_close(grown[grown > 0], torch.full((5,), 0.2, dtype=torch.float64))
    rule = GrowingSelector(initial=3, added=2)
    weights = rule.first(ROWS, GAINS)
    for size in (5, 7, 9, 10, 10):
        weights = rule.grow(ROWS, GAINS, weights)
        assert int((weights > 0).sum()) == size
        assert weights.sum().item() == pytest.approx(1.0, abs=1e-12)
        assert weights.min() >= 0


def test_growth_takes_the_paper_s_steps_on_the_whole_support():
    rule = GrowingSelector(initial=2, added=1, strength=0.5, rate=3e-2, steps=20)
    start = torch.tensor([0.7, 0.3], dtype=torch.float64)
    weights = torch.zeros(10, dtype=torch.float64)
    weights[[0, 6]] = start
    seeded = torch.tensor([0.7 * 2 / 3, 0.3 * 2 / 3, 1 / 3], dtype=torch.float64)
    want = reweighed(GAINS[[0, 6, 8]], seeded, "sqrt", 0.5, 3e-2, 20)
    torch.testing.assert_close(rule.grow(ROWS, GAINS, weights)[[0, 6, 8]], want)


def test_candidates_are_ranked_by_gain_alone_and_admitted_above_the_least():
    rule = GrowingSelector(initial=2, added=4, min_gain=1.5)
    assert support(rule.grow(ROWS, GAINS, rule.first(ROWS, GAINS))) == [100, 104, 106, 108]


def test_more_than_there_are_is_refused():
    with pytest.raises(
        ConfigurationError, match="`initial` must be from 1 to the number of candidates, 10. Found 11"
    ):
        GrowingSelector(initial=11).first(ROWS, GAINS)
    with pytest.raises(ConfigurationError, match="`initial` must be 1 or above. Found 0"):
        GrowingSelector(initial=0)
    with pytest.raises(ConfigurationError, match="`added` must be 0 or above. Found -1"):
        GrowingSelector(initial=1, added=-1)
    with pytest.raises(UnknownNameError, match="`regulariser` must be one of"):
        GainFilter(regulariser="l1")


def test_penalties_are_those_of_the_outer_objective():
    w = torch.full((4,), 0.25, dtype=torch.float64)
    assert GrowingSelector(initial=4).penalty(w) == pytest.approx(0.5 * 2.0)
    assert GainFilter(strength=2.0).penalty(w) == pytest.approx(-2.0 * 1.3862943611)
    assert GainFilter(regulariser="none").penalty(w) == 0.0


def test_a_selection_holds_what_was_selected_and_says_when_it_collapsed():
    weights = torch.zeros(10, dtype=torch.float64)
    weights[[3, 7]] = torch.tensor([0.999, 0.001], dtype=torch.float64)
    with pytest.warns(UnlearnKitWarning, match="collapsed"):
        found = GainFilter().selection(ROWS, weights, GAINS, [{"round": 1}])
    assert found.indices.tolist() == [103, 107]
    assert torch.equal(found.gains, GAINS)
    assert found.history == [{"round": 1}]


def test_a_given_selection_is_used_as_it_is(tmp_path):
    chosen = top_gain(ROWS, GAINS, 4)
    chosen.save(tmp_path / "s.json")
    for given in (chosen, tmp_path / "s.json"):
        rule = GivenSelection(given)
        weights = rule.first(ROWS.flip(0), torch.zeros(0))
        assert torch.equal(weights.flip(0), chosen.of(ROWS))
        assert rule.grow(ROWS, GAINS, weights) is weights
        with pytest.raises(MismatchError, match="10 rows|9 rows"):
            rule.first(ROWS[1:], torch.zeros(0))


def test_gains_are_the_paper_s_unless_told():
    assert (GainFilter().gains.lam, GainFilter().gains.curvature) == (1.0, "identity")
    own = MarginalGains(2.0, "cg")
    assert GrowingSelector(initial=1, gains=own).gains is own
