"""What U2A asks which candidates to unlearn, round after round: the sign filter, the paper's growth, a given file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.alignment.gains import MarginalGains, ranked
from unlearnkit.alignment.outer import (
    Regulariser,
    penalty,
    require_regulariser,
    reweighed,
    standardised,
    warn_of_collapse,
)
from unlearnkit.alignment.selection import Selection
from unlearnkit.alignment.selectors import positive_gain, require_size
from unlearnkit.artifacts import AnyPath
from unlearnkit.errors import ConfigurationError, MismatchError


class GainSelector:
    """Say which candidates have weight, from their gains; weights are dense, 0 for those not selected.

    Args:
        gains: How gains are formed; default ``MarginalGains()``.
        regulariser: Omega of the outer objective ``g = -J + beta Omega(w)``.
        strength: beta; the temperature of ``entropy``.
        standardise: Give the selected gains mean 0 and deviation 1 before weights are made of them.

    Raises:
        UnknownNameError: There is no such regulariser.
    """

    needs_gains = True

    def __init__(
        self,
        gains: MarginalGains | None = None,
        regulariser: Regulariser = "entropy",
        strength: float = 1.0,
        standardise: bool = True,
    ) -> None:
        self.gains = gains if gains is not None else MarginalGains()
        self.regulariser = require_regulariser(regulariser)
        self.strength = strength
        self.standardise = standardise

    def first(self, rows: Tensor, gains: Tensor) -> Tensor:
        """Return the weights of the first round, [n], from the gains at the target."""
        raise NotImplementedError

    def grow(self, rows: Tensor, gains: Tensor, weights: Tensor) -> Tensor:
        """Return the next round's weights, [n], from this one's and the gains where they led to."""
        raise NotImplementedError

    def penalty(self, weights: Tensor) -> float:
        """Return ``beta Omega(w)``."""
        return self.strength * penalty(weights, self.regulariser)

    def selection(
        self, rows: Tensor, weights: Tensor, gains: Tensor | None, history: list[dict[str, Any]]
    ) -> Selection:
        """Return weights as a selection, and warn where they have collapsed."""
        chosen = weights > 0
        warn_of_collapse(weights)
        return Selection(rows[chosen], weights[chosen], rows, gains, history)

    def _own(self, gains: Tensor) -> Tensor:
        return standardised(gains) if self.standardise else gains


class GainFilter(GainSelector):
    """Select the candidates with a gain above 0, anew each round, weighed by entropy: what U2A does unless told.

    >>> rows, gains = torch.tensor([3, 5, 7]), torch.tensor([0.2, -1.0, 0.4])
    >>> [round(weight, 3) for weight in GainFilter().first(rows, gains).tolist()]
    [0.119, 0.0, 0.881]
    """

    def first(self, rows: Tensor, gains: Tensor) -> Tensor:
        """Return the weights of candidates with a gain above 0, [n].

        Raises:
            ConfigurationError: No candidate has one.
        """
        found = positive_gain(rows, gains, self.regulariser, self.strength, self.standardise)
        weights = torch.zeros(len(rows), dtype=torch.float64)
        weights[gains > 0] = found.weights
        return weights

    def grow(self, rows: Tensor, gains: Tensor, weights: Tensor) -> Tensor:
        """Return the same as ``first`` at the new gains; the weights as they are where none is above 0."""
        return self.first(rows, gains) if bool((gains > 0).any()) else weights


class GrowingSelector(GainSelector):
    """Start from the M highest gains and admit N more each round, weights by mirror descent (paper 004, algorithm 1).

    An admitted sample is given the weight 1/s of the support it enters: multiplicative updates would leave it at 0,
    which the paper does not say. The penalty's slope is infinite at weight 0 and the same for all, so that candidates
    are ranked by their gain alone, and one is admitted only above ``min_gain``.

    Args:
        initial: M, samples of the first round.
        added: N, samples admitted in each further round.
        gains: As for every selector.
        regulariser: ``sqrt`` in the paper.
        strength: beta, 0.5 in the paper.
        standardise: The paper does not.
        rate: eta of the mirror steps.
        steps: t_w, mirror steps of a round.
        min_gain: Least gain of a sample to be admitted, or None for any.

    Raises:
        ConfigurationError: ``initial`` is below 1 or ``added`` below 0; later, ``initial`` is above n.

    >>> selector = GrowingSelector(initial=2, added=1)
    >>> rows, gains = torch.tensor([3, 5, 7]), torch.tensor([0.2, -1.0, 0.4])
    >>> first = selector.first(rows, gains)
    >>> first.tolist(), bool(selector.grow(rows, gains, first).sum().isclose(torch.ones(()).double()))
    ([0.5, 0.0, 0.5], True)
    """

    def __init__(
        self,
        initial: int,
        added: int = 0,
        gains: MarginalGains | None = None,
        regulariser: Regulariser = "sqrt",
        strength: float = 0.5,
        standardise: bool = False,
        rate: float = 3e-2,
        steps: int = 20,
        min_gain: float | None = None,
    ) -> None:
        super().__init__(gains, regulariser, strength, standardise)
        if initial < 1:
            raise ConfigurationError(f"`initial` must be 1 or above. Found {initial}. Use e.g. initial=32.")
        if added < 0:
            raise ConfigurationError(f"`added` must be 0 or above. Found {added}. Use e.g. added=8.")
        self.initial = initial
        self.added = added
        self.rate = rate
        self.steps = steps
        self.min_gain = min_gain

    def first(self, rows: Tensor, gains: Tensor) -> Tensor:
        """Return 1/M for the M highest gains, [n].

        Raises:
            ConfigurationError: There are fewer candidates than M.
        """
        size = require_size("initial", self.initial, len(rows))
        weights = torch.zeros(len(rows), dtype=torch.float64)
        weights[ranked(rows, gains)[:size]] = 1.0 / size
        return weights

    def grow(self, rows: Tensor, gains: Tensor, weights: Tensor) -> Tensor:
        """Admit the N highest gains outside the support, then take mirror steps on all of it."""
        order = ranked(rows, gains)
        outside = order[weights[order] == 0]
        if self.min_gain is not None:
            outside = outside[gains[outside] > self.min_gain]
        new = outside[: self.added]
        size = int((weights > 0).sum()) + len(new)
        seeded = weights * (1.0 - len(new) / size)
        seeded[new] = 1.0 / size
        chosen = seeded > 0
        found = torch.zeros_like(seeded)
        found[chosen] = reweighed(
            self._own(gains[chosen]), seeded[chosen], self.regulariser, self.strength, self.rate, self.steps
        )
        return found


class GivenSelection(GainSelector):
    """Train with the weights of a selection that was made before, by any selector; no gain is formed.

    Args:
        selection: The selection, or the file it was saved to.
    """

    needs_gains = False

    def __init__(self, selection: Selection | AnyPath) -> None:
        super().__init__(regulariser="none")
        self.given = selection if isinstance(selection, Selection) else Selection.load(selection)

    def first(self, rows: Tensor, gains: Tensor) -> Tensor:
        """Return the given weights, [n].

        Raises:
            MismatchError: The selection was made among other candidates.
        """
        if not torch.equal(rows.sort().values, self.given.candidates.sort().values):
            raise MismatchError(
                f"`selection` must be among the candidates of this run, {len(rows)} rows. Found one among "
                f"{len(self.given.candidates)} rows, or others. Use the data and the split it was made with."
            )
        return self.given.of(rows)

    def grow(self, rows: Tensor, gains: Tensor, weights: Tensor) -> Tensor:
        """Return the weights as they are."""
        return weights
