"""HiddenToReference: keep the representation of the data to keep."""

from __future__ import annotations

from typing import Any

import torch

from unlearnkit.objectives.base import (
    Objective,
    Parity,
    PerSample,
    Reference,
    UnlearnableModel,
    require_parity,
    require_reference,
)
from unlearnkit.objectives.hidden_distance import hidden_states, mean_squares


class HiddenToReference(Objective):
    """Minimise ``E mean_t |h_t - h_t,ref|^2 / d`` at one block: RMU's retain side (Li et al. 2024).

    Each sample's mean over its answer tokens counts 1.

    Args:
        layer: Which transformer block, from 0; the one of ``RMU``.
        parity: As in ``RMU``.

    Raises:
        ConfigurationError: The model has no such block or does not show it, or there is no live reference.
        UnknownNameError: ``parity`` is neither of the two.

    >>> HiddenToReference(layer=1).needs_reference
    True
    """

    role = "retain"
    needs_reference = True

    def __init__(self, layer: int = 7, parity: Parity = "paper") -> None:
        super().__init__()
        self.layer = layer
        self.parity: Parity = require_parity(parity)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's mean squared distance [batch] and 1 for each that has a scored token [batch]."""
        target = require_reference(reference, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        hidden, mask = hidden_states(model, batch, self.layer)
        with torch.no_grad():
            there, _ = hidden_states(target, batch, self.layer)
        return mean_squares(hidden, there, mask, self.parity)
