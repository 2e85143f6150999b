"""Win rates: how often a judge prefers a model's response, in both orders, and at equal lengths.

Judges prefer what they read first, and what is longer. So each pair is shown in both orders, and the length-controlled
rate is what a regression says of pairs of equal length. Direction: up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional.judging import Case

RIDGE = 0.01
"""Half of it times the squared slope is taken off the likelihood: lengths that decide every pair have no slope else."""


def both_orders(prompt: str, response: str, other: str) -> tuple[Case, Case]:
    """Return the two cases of one pair: the response first, then the other one first.

    >>> [case.response for case in both_orders("?", "a", "b")]
    ['a', 'b']
    """
    return Case("preference", prompt, response, other), Case("preference", prompt, other, response)


def pair_win(first: float | None, second: float | None) -> float | None:
    """Return the mean of a judge's two verdicts on a pair, as a win of the response; None where one is missing.

    Args:
        first: How likely the response is the better one, shown first.
        second: How likely the other one is, shown first.

    >>> pair_win(1.0, 0.0), pair_win(1.0, 1.0), pair_win(None, 1.0)
    (1.0, 0.5, None)
    """
    return None if first is None or second is None else (first + 1.0 - second) / 2.0


def win_rate(wins: Sequence[float]) -> float:
    """Return the mean over pairs; a draw is half a win.

    Raises:
        DataError: There are no pairs.

    >>> win_rate([1.0, 0.5, 0.0, 1.0])
    0.625
    """
    if not wins:
        raise DataError("`wins` must hold at least one pair. Found none. Judge some pairs.")
    return math.fsum(wins) / len(wins)


def length_controlled_win_rate(
    wins: Sequence[float], lengths: Sequence[float], other_lengths: Sequence[float]
) -> float:
    """Return the win rate that a regression with two parameters predicts for responses of equal lengths.

    ``P(win) = sigma(a + b tanh(d / s))``, d the difference of the lengths and s its standard deviation, fitted by
    maximum likelihood with a ridge of 0.01 on b; the result is ``sigma(a)``. AlpacaEval 2's rate has, beside these
    two, a parameter for the difficulty of each instruction, which is fitted on the results of other models: numbers
    are not comparable with its leader board.

    Args:
        wins: Each pair's win in [0, 1].
        lengths: Length of each response, in any unit.
        other_lengths: Length of what it stood against, in the same unit.

    Returns:
        In [0, 1]; the plain win rate where all differences are equal, or all wins 0 or all 1: nothing is told apart.

    Raises:
        DataError: There are no pairs, or a win is not in [0, 1].
        MismatchError: Unequal numbers.

    >>> longer_wins = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    >>> rate = length_controlled_win_rate(longer_wins, [30, 40, 50, 10, 12, 14], [20, 20, 20, 20, 11, 13])
    >>> win_rate(longer_wins), round(rate, 2)
    (0.666..., 0.42)
    """
    plain = win_rate(wins)
    if not len(wins) == len(lengths) == len(other_lengths):
        raise MismatchError(
            f"`lengths` and `other_lengths` must have one number for each of the {len(wins)} pairs. Found "
            f"{len(lengths)} and {len(other_lengths)}. Pass the lengths of the same pairs."
        )
    if not all(0.0 <= win <= 1.0 for win in wins):
        raise DataError(
            f"`wins` must be from 0 to 1. Found {min(wins)} to {max(wins)}. Pass what `pair_win` returns."
        )
    gaps = [own - other for own, other in zip(lengths, other_lengths, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    spread = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    if spread == 0.0 or plain in (0.0, 1.0):
        return plain
    from sklearn.linear_model import LogisticRegression

    columns = [[math.tanh(gap / spread)] for gap in gaps]
    # A win of 0.7 is seven tenths of a won and three tenths of a lost pair: the same likelihood.
    fitted = LogisticRegression(C=1.0 / RIDGE, tol=1e-8, max_iter=1000).fit(
        columns * 2, [1] * len(wins) + [0] * len(wins), [*wins, *(1.0 - win for win in wins)]
    )
    return 1.0 / (1.0 + math.exp(-float(fitted.intercept_[0])))
