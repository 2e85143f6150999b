"""NLLAndKL: learn the labels and stay near the target's predictions."""

from __future__ import annotations

from typing import Any

import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_positive,
    require_reference,
)
from unlearnkit.objectives.kl_to_reference import divergence_from


class NLLAndKL(Objective):
    """Minimise ``gamma NLL + alpha T^2 KL(p_ref || p)``: SCRUB's retain side (Kurmanji et al. 2023, eq. 3).

    Args:
        gamma: Weight of the negative log-likelihood, 0 or above.
        alpha: Weight of the divergence, 0 or above.
        temperature: T of the divergence, above 0.

    Raises:
        ConfigurationError: A number is out of its range, or both weights are 0.

    >>> from unlearnkit.objectives import NLL
    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)["retain"]
    >>> value = NLLAndKL(gamma=1.0, alpha=0.5)(model, batch, lambda: model)  # at the target only the first is left
    >>> bool((value.sums - NLL()(model, batch).sums).abs().max() < 1e-5)
    True
    """

    role = "retain"
    needs_reference = True

    def __init__(self, gamma: float = 1.0, alpha: float = 0.5, temperature: float = 1.0) -> None:
        super().__init__()
        if gamma < 0 or alpha < 0 or gamma + alpha == 0:
            raise ConfigurationError(
                "`gamma` and `alpha` must be 0 or above, and not both 0. "
                f"Found gamma={gamma}, alpha={alpha}. Use e.g. gamma=1, alpha=0.5, as DualOptim's code does."
            )
        self.gamma, self.alpha = gamma, alpha
        self.temperature = require_positive("temperature", temperature)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's weighted sum [batch], nats, and its number of units [batch]."""
        target = require_reference(reference, self)
        # The policy first, and once: both terms are made of the same logits.
        logits, targets, mask = model.units(batch)
        with torch.no_grad():
            reference_logits, _, _ = target.units(batch)
        nll = -logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        terms = self.gamma * nll + self.alpha * divergence_from(reference_logits, logits, self.temperature)
        return PerSample((terms * mask).sum(-1), mask.sum(-1))
