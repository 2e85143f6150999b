"""WGA: gradient ascent weighted by how sure the model is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_not_negative,
)
from unlearnkit.objectives.token_losses import token_losses


class WGA(Objective):
    """Minimise ``-p^beta NLL`` of each token, the weight detached (Wang et al. 2025, weighted gradient ascent).

    ``p`` is the token's probability under the model itself: what is forgotten already is pushed less, so that the
    ascent slows down by itself. The mean is over all scored tokens. ``beta = 0`` is gradient ascent.

    Args:
        beta: Exponent of the probability, 0 or above.

    Raises:
        ConfigurationError: ``beta`` is negative.

    >>> from unlearnkit.objectives import AscentNLL
    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4)
    >>> bool((WGA(beta=0.0)(model, batch).sums == AscentNLL()(model, batch).sums).all())
    True
    """

    role = "forget"

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = require_not_negative("beta", beta)

    def weights(self, probabilities: Tensor) -> Tensor:
        """Return each token's weight from its probability, both [batch, units]."""
        return probabilities**self.beta

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return minus each sample's weighted negative log-likelihood [batch], nats, and its units [batch]."""
        losses, mask = token_losses(model, batch)
        weights = self.weights((-losses.detach()).exp())
        return PerSample(-(weights * losses).sum(-1), mask.sum(-1))
