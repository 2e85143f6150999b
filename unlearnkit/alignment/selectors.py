"""Selectors as calls of their own: from rows and scores to a Selection of equal or soft weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.alignment.gains import ranked
from unlearnkit.alignment.outer import Regulariser, reweighed, standardised
from unlearnkit.alignment.selection import Selection
from unlearnkit.errors import ConfigurationError, MismatchError


def uniform(rows: Tensor) -> Selection:
    """Select every candidate, with equal weights.

    >>> uniform(torch.tensor([3, 5])).weights.tolist()
    [0.5, 0.5]
    """
    return equal(rows, torch.arange(len(rows)))


def random(rows: Tensor, size: int, seed: int = 0) -> Selection:
    """Select some candidates by chance, with equal weights.

    Args:
        rows: Candidates, [n].
        size: How many.
        seed: Seed of the draw.

    Raises:
        ConfigurationError: ``size`` is below 1 or above n.

    >>> len(random(torch.arange(10), size=3).indices)
    3
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(rows), generator=generator)[: require_size("size", size, len(rows))]
    return equal(rows, chosen.sort().values)


def reward_lowest(rows: Tensor, rewards: Tensor, size: int) -> Selection:
    """Select the candidates of lowest reward, with equal weights: the rival that needs no gradient.

    Args:
        rows: Candidates, [n].
        rewards: Their rewards, [n].
        size: How many.

    Raises:
        ConfigurationError: ``size`` is below 1 or above n.
        MismatchError: There are not as many rewards as rows.

    >>> reward_lowest(torch.tensor([3, 5, 7]), torch.tensor([0.2, -1.0, 0.0]), size=2).indices.tolist()
    [5, 7]
    """
    _require_each("rewards", rewards, rows)
    return equal(rows, ranked(rows, -rewards)[: require_size("size", size, len(rows))])


def top_gain(rows: Tensor, gains: Tensor, size: int) -> Selection:
    """Select the candidates of highest gain, with equal weights (paper 004, eq. 7 and figure 4).

    Args:
        rows: Candidates, [n].
        gains: Their marginal gains, [n].
        size: How many.

    Raises:
        ConfigurationError: ``size`` is below 1 or above n.
        MismatchError: There are not as many gains as rows.

    >>> top_gain(torch.tensor([3, 5, 7]), torch.tensor([0.2, -1.0, 0.4]), size=2).indices.tolist()
    [7, 3]
    """
    _require_each("gains", gains, rows)
    return equal(rows, ranked(rows, gains)[: require_size("size", size, len(rows))], gains)


def positive_gain(
    rows: Tensor,
    gains: Tensor,
    regulariser: Regulariser = "entropy",
    strength: float = 1.0,
    standardise: bool = True,
) -> Selection:
    """Select the candidates whose unlearning helps, weighed by their gains; the default of U2A.

    Args:
        rows: Candidates, [n].
        gains: Their marginal gains, [n].
        regulariser: Omega of the outer step; ``none`` keeps equal weights.
        strength: Its strength; the temperature of ``entropy``.
        standardise: Give the selected gains mean 0 and deviation 1 first.

    Raises:
        ConfigurationError: No gain is above 0.
        MismatchError: There are not as many gains as rows.

    >>> found = positive_gain(torch.tensor([3, 5, 7]), torch.tensor([0.2, -1.0, 0.4]))
    >>> found.indices.tolist(), [round(weight, 3) for weight in found.weights.tolist()]
    ([3, 7], [0.119, 0.881])
    """
    _require_each("gains", gains, rows)
    chosen = (gains > 0).nonzero()[:, 0]
    if not len(chosen):
        raise ConfigurationError(
            f"`gains` must be above 0 for a candidate. Found none of {len(gains)} (highest "
            f"{float(gains.max()) if len(gains) else float('nan'):g}): unlearning any of them lowers J. Unlearn "
            "nothing, or select with top_gain."
        )
    if regulariser == "none":
        return equal(rows, chosen, gains)
    own = standardised(gains[chosen]) if standardise else gains[chosen]
    start = torch.full((len(chosen),), 1.0 / len(chosen), dtype=torch.float64)
    return Selection(rows[chosen], reweighed(own, start, regulariser, strength), rows, gains)


def equal(rows: Tensor, chosen: Tensor, gains: Tensor | None = None) -> Selection:
    """Return the selection of some positions among the rows, with equal weights."""
    weights = torch.full((len(chosen),), 1.0 / max(1, len(chosen)), dtype=torch.float64)
    return Selection(rows[chosen], weights, rows, gains)


def require_size(name: str, size: int, n: int) -> int:
    """Return a number of rows.

    Raises:
        ConfigurationError: It is below 1, or above the number of candidates.
    """
    if not 1 <= size <= n:
        raise ConfigurationError(
            f"`{name}` must be from 1 to the number of candidates, {n}. Found {size}. Use {name}={max(1, n // 10)}."
        )
    return size


def _require_each(name: str, scores: Any, rows: Tensor) -> None:
    if len(scores) != len(rows):
        raise MismatchError(
            f"`{name}` must hold one number per row. Found {len(scores)} for {len(rows)} rows. Score all candidates."
        )
