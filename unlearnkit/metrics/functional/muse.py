"""What MUSE's six numbers (Shi et al. 2024) need besides ROUGE and the Min-K% attack.

Verbatim memorisation, knowledge memorisation and utility are ROUGE-L F without a stemmer; privacy leakage compares the
area under the Min-40% attack with the retrained model's; scalability and sustainability are any of these over requests
that grow, or follow each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unlearnkit.errors import DataError, MismatchError

STOPS = ("\n\n", "\nQuestion", "Question:")
"""Where MUSE cuts an answer off, because a model goes on with a question of its own."""

RETRAINED_AREA = {"News": 0.4772, "Books": 0.5393}
"""MUSE's own areas of its retrained 7B models on the real corpora, of no use for any other model or corpus."""


def first_answer(text: str) -> str:
    r"""Return what a generation says before the first of ``STOPS``.

    >>> first_answer(" a broken bell\n\nQuestion: Who heard it?")
    ' a broken bell'
    """
    for stop in STOPS:
        text = text.split(stop)[0]
    return text


def muse_privleak(area: float, retrained_area: float) -> float:
    """Return 100 (A - A_retrained) / A_retrained, per cent. Ideal: 0; -100 where forget texts are known by heart.

    A is the probability that a *holdout* text looks more like a member than a forget text, 1 - ``attack_auc``; so this
    is ``privleak`` of the two ``attack_auc`` but for the 1e-10 that open-unlearning adds to the denominator.

    Args:
        area: A of the unlearned model.
        retrained_area: A of the retrained model, on the same texts.

    Returns:
        Per cent; NaN where the retrained model knows all forget texts, which is none that was retrained without them.

    >>> muse_privleak(0.0, 0.5), muse_privleak(0.5, 0.5), muse_privleak(0.75, 0.5)
    (-100.0, 0.0, 50.0)
    """
    return 100 * (area - retrained_area) / retrained_area if retrained_area else math.nan


@dataclass(frozen=True)
class OverRequests:
    """One number over a sequence of requests.

    Attributes:
        values: The number at each request.
        changes: Its difference from the first request's.
        worst: The lowest value.
        slope: Least-squares slope against the requests' sizes, per unit of size.
    """

    values: tuple[float, ...]
    changes: tuple[float, ...]
    worst: float
    slope: float


def over_requests(values: Sequence[float], sizes: Sequence[float] | None = None) -> OverRequests:
    """Describe how a number (utility, mostly) holds over requests.

    MUSE shows the curve and gives no single number; the slope is the plainest one.

    Args:
        values: One a request.
        sizes: How large each request is (scalability); None counts them (sustainability).

    Raises:
        DataError: There are fewer than two requests, or all have one size.
        MismatchError: Not as many sizes as values.

    >>> over_requests([0.5, 0.4, 0.3]).slope
    -0.1
    """
    at = list(range(1, len(values) + 1)) if sizes is None else list(sizes)
    if len(at) != len(values):
        raise MismatchError(
            f"`sizes` must have one size for each value. Found {len(at)} for {len(values)}. Leave it unset to count."
        )
    if len(set(at)) < 2:
        raise DataError(
            f"`values` must come from at least two requests of different size. Found {len(values)} values at "
            f"{len(set(at))} sizes. Evaluate more requests."
        )
    mean_size, mean = math.fsum(at) / len(at), math.fsum(values) / len(values)
    spread = math.fsum((size - mean_size) ** 2 for size in at)
    together = math.fsum((size - mean_size) * (value - mean) for size, value in zip(at, values, strict=True))
    changes = tuple(value - values[0] for value in values)
    return OverRequests(tuple(values), changes, min(values), together / spread)
