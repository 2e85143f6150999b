"""Both orders cancel a judge's bias for the first; the regression's rate is that of pairs of equal length."""

from __future__ import annotations

import math
import random

import pytest

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional import ask, both_orders, length_controlled_win_rate, pair_win, win_rate
from unlearnkit.metrics.functional.win_rate import RIDGE


def test_a_judge_that_always_prefers_the_first_makes_no_winner():
    found = ask(lambda case: 1.0, both_orders("?", "mine", "theirs")).values
    assert pair_win(*found) == 0.5
    found = ask(lambda case: float(case.response == "mine"), both_orders("?", "mine", "theirs")).values
    assert pair_win(*found) == 1.0


def drawn(intercept, slope, n=4000):
    generator = random.Random(3)
    lengths = [generator.gauss(120, 40) for _ in range(n)]
    others = [generator.gauss(80, 40) for _ in range(n)]
    gaps = [a - b for a, b in zip(lengths, others, strict=True)]
    mean = sum(gaps) / n
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / n)
    chances = [1 / (1 + math.exp(-intercept - slope * math.tanh(gap / spread))) for gap in gaps]
    return [float(generator.random() < chance) for chance in chances], lengths, others, gaps, spread


def test_it_finds_the_rate_at_equal_lengths_that_made_the_data():
    wins, lengths, others, *_ = drawn(intercept=-0.4, slope=2.0)
    assert win_rate(wins) > 0.55
    expected = 1 / (1 + math.exp(0.4))
    assert length_controlled_win_rate(wins, lengths, others) == pytest.approx(expected, abs=0.04)


def test_it_is_the_maximum_of_the_likelihood_written_naively():
    wins, lengths, others, gaps, spread = drawn(intercept=0.3, slope=1.0, n=60)
    wins = [0.5 if place % 7 == 0 else win for place, win in enumerate(wins)]
    rate = length_controlled_win_rate(wins, lengths, others)
    a, b = 0.0, 0.0
    for _ in range(60):  # Newton
        ga = gb = haa = hab = hbb = 0.0
        for win, gap in zip(wins, gaps, strict=True):
            x = math.tanh(gap / spread)
            p = 1 / (1 + math.exp(-a - b * x))
            ga, gb = ga + p - win, gb + (p - win) * x
            haa, hab, hbb = haa + p * (1 - p), hab + p * (1 - p) * x, hbb + p * (1 - p) * x * x
        gb, hbb = gb + RIDGE * b, hbb + RIDGE
        det = haa * hbb - hab * hab
        a, b = a - (hbb * ga - hab * gb) / det, b - (haa * gb - hab * ga) / det
    assert rate == pytest.approx(1 / (1 + math.exp(-a)), abs=1e-4)


@pytest.mark.parametrize("wins", [[1.0, 1.0], [0.0, 0.0]])
def test_wins_that_are_all_alike_stay_as_they_are(wins):
    assert length_controlled_win_rate(wins, [10, 20], [5, 5]) == win_rate(wins)


def test_equal_lengths_and_lengths_that_decide_everything():
    assert length_controlled_win_rate([1.0, 0.0, 1.0], [5, 5, 5], [5, 5, 5]) == pytest.approx(2 / 3)
    assert 0 < length_controlled_win_rate([1.0, 1.0, 0.0, 0.0], [9, 8, 1, 2], [5, 5, 5, 5]) < 1


def test_what_is_wrong_is_named():
    with pytest.raises(DataError, match="`wins` must hold at least one pair"):
        length_controlled_win_rate([], [], [])
    with pytest.raises(MismatchError, match="each of the 1 pairs. Found 2 and 1"):
        length_controlled_win_rate([1.0], [1, 2], [1])
    with pytest.raises(DataError, match="`wins` must be from 0 to 1"):
        length_controlled_win_rate([1.5, 0.0], [1, 2], [1, 1])
