"""Gap and spread over seeds, as paper 002's tables define them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from unlearnkit.errors import MismatchError

NUMBERS = ("forget_accuracy", "retain_accuracy", "test_accuracy", "mia_entropy_member_rate")
"""The four numbers: FA, RA, TA, MIA."""

Summaries = Sequence[Mapping[str, float | None]]


def average_gap(unlearned: Summaries, retrained: Summaries, numbers: Sequence[str] = NUMBERS) -> float:
    """Return the mean over FA, RA, TA, MIA of ``|mean over seeds - retrained mean over seeds|`` (paper 002).

    The absolute value is taken after the mean over seeds: seeds that miss on both sides cancel, which a mean of each
    seed's own gap would not do.

    Args:
        unlearned: A summary for each seed.
        retrained: A summary for each retrained model, any number of them.
        numbers: Which numbers.

    Raises:
        MismatchError: There is no summary on a side, or one of them lacks a number.

    >>> average_gap([{"a": 0.4}, {"a": 0.8}], [{"a": 0.5}], numbers=["a"])
    0.1...
    """
    distances = [abs(_mean(unlearned, name) - _mean(retrained, name)) for name in numbers]
    return math.fsum(distances) / len(distances)


def average_std(unlearned: Summaries, numbers: Sequence[str] = NUMBERS) -> float:
    """Return the mean over FA, RA, TA, MIA of the standard deviation over seeds, dividing by n (paper 002).

    Args:
        unlearned: A summary for each seed.
        numbers: Which numbers.

    Raises:
        MismatchError: There is no summary, or one of them lacks a number.

    >>> average_std([{"a": 0.4}, {"a": 0.8}], numbers=["a"])
    0.2
    """
    spreads = []
    for name in numbers:
        middle = _mean(unlearned, name)
        squares = [(value - middle) ** 2 for value in _values(unlearned, name)]
        spreads.append(math.sqrt(math.fsum(squares) / len(squares)))
    return math.fsum(spreads) / len(spreads)


def _mean(summaries: Summaries, name: str) -> float:
    values = _values(summaries, name)
    return math.fsum(values) / len(values)


def _values(summaries: Summaries, name: str) -> list[float]:
    """Return a number of all seeds; one that diverged counts as NaN."""
    if not summaries or any(name not in summary for summary in summaries):
        found = "no summary" if not summaries else f"one with {', '.join(sorted(summaries[0]))}"
        raise MismatchError(
            f"`unlearned` and `retrained` must be summaries with {name!r}. Found {found}. "
            "Pass the `summary` of ClassificationEvaluator's evaluations."
        )
    return [math.nan if summary[name] is None else float(summary[name] or 0.0) for summary in summaries]
