"""NLL: the negative log-likelihood, for data to keep."""

from __future__ import annotations

from typing import Any

from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel


class NLL(Objective):
    """Minimise the negative log-likelihood ``L_R``, the mean over all scored units (answer tokens).

    The mean is over units and not over samples, as in TOFU: long answers weigh more.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> value = NLL()(ToyClassifier(seed=0), toy_pair(seed=0)["retain"])
    >>> value.sums.shape == value.counts.shape
    True
    """

    role = "retain"

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed negative log-likelihood [batch] and its number of units [batch]."""
        return PerSample(model.losses(batch), model.counts(batch))
