"""SimNPO: negative preference optimization without a reference."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid

from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel, require_positive


class SimNPO(Objective):
    """Minimise ``-(2/beta) E log sigma(beta (l - delta))``, ``l`` the mean NLL of a sequence (Fan et al. 2024).

    The mean over a sequence's tokens keeps short answers from being forgotten before long ones. The paper's margin
    gamma is ``beta * delta``. Averaged over sequences (count 1 each; one without a scored token counts nothing). As
    beta falls to 0 the gradient becomes that of ascent on the mean of the sequences' means.

    Args:
        beta: Inverse temperature, above 0; 4.5 in the public code's recipe.
        delta: What ``l`` is compared with, nats a token; 0 in the public code.

    Raises:
        ConfigurationError: ``beta`` is not above 0.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> bool((SimNPO()(ToyClassifier(seed=0), toy_batch(4)).sums >= 0).all())
    True
    """

    role = "forget"

    def __init__(self, beta: float = 4.5, delta: float = 0.0) -> None:
        super().__init__()
        self.beta = require_positive("beta", beta)
        self.delta = delta

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sequence's loss [batch] and 1 for each that has a scored token [batch]."""
        counts = model.counts(batch)
        mean = model.losses(batch) / counts.clamp_min(1)
        scored = (counts > 0).to(mean.dtype)
        sums = -(2.0 / self.beta) * logsigmoid(self.beta * (mean - self.delta))
        return PerSample(torch.where(counts > 0, sums, 0.0 * mean), scored)
