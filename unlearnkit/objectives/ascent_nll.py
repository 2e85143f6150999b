"""AscentNLL: minus the negative log-likelihood, for data to forget."""

from __future__ import annotations

from typing import Any

from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel


class AscentNLL(Objective):
    """Minimise ``-L_F``: gradient ascent on the forget data (paper 001, section 2).

    Unbounded below: nothing stops the ascent once the data are forgotten (paper 001's Lemma 2
    assumes a minimiser that need not exist), so bound the rounds or watch the retain loss.

    >>> from unlearnkit.objectives import NLL
    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)["forget"]
    >>> bool((AscentNLL()(model, batch).sums == -NLL()(model, batch).sums).all())
    True
    """

    role = "forget"

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return minus each sample's summed negative log-likelihood [batch] and its units [batch]."""
        return PerSample(-model.losses(batch), model.counts(batch))
