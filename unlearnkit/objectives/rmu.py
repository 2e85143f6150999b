"""RMU: misdirect the representation of the data to forget."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.objectives.base import (
    Objective,
    Parity,
    PerSample,
    Reference,
    UnlearnableModel,
    require_parity,
    require_positive,
)
from unlearnkit.objectives.hidden_distance import hidden_states, mean_squares


class RMU(Objective):
    """Minimise ``E mean_t |h_t - c u/|u||^2 / d``: drive a block's output to one fixed vector (Li et al. 2024, RMU).

    ``u`` is uniform on ``[0, 1)^d``, drawn once from a seeded generator and saved with the model's checkpoints. Each
    sample's mean over its answer tokens counts 1. The retain side is ``HiddenToReference`` at the same layer. The
    paper trains three down-projections alone; which weights move is the model's matter here (``requires_grad``,
    ``lora``).

    Args:
        layer: Which transformer block, from 0; 7 in the paper's and the public code's 7B models.
        coefficient: c, the length of the vector; 2 in open-unlearning's recipe, 20 in its class, 6.5 in the paper.
        seed: Of the vector.
        parity: ``paper``, or ``open-unlearning`` for the number of its code, whose broadcast couples the samples of a
            batch: the mean of the sums times the mean of 1/n.

    Raises:
        ConfigurationError: ``coefficient`` is not above 0, the model has no such block or does not show it.
        UnknownNameError: ``parity`` is neither of the two.

    >>> RMU(layer=1).control(4).norm().item()
    2.0...
    """

    role = "forget"
    direction: Tensor | None
    """``u/|u|``, [width], fp32; None until the width is known."""

    def __init__(
        self, layer: int = 7, coefficient: float = 2.0, seed: int = 0, parity: Parity = "paper"
    ) -> None:
        super().__init__()
        self.layer = layer
        self.coefficient = require_positive("coefficient", coefficient)
        self.seed = seed
        self.parity: Parity = require_parity(parity)
        self.register_buffer("direction", None)

    def control(self, width: int) -> Tensor:
        """Return ``c u/|u|``, [width], fp32."""
        if self.direction is None:
            drawn = torch.rand(width, generator=torch.Generator().manual_seed(self.seed))
            self.direction = drawn / drawn.norm()
        return self.coefficient * self.direction

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's mean squared distance [batch] and 1 for each that has a scored token [batch]."""
        hidden, mask = hidden_states(model, batch, self.layer)
        return mean_squares(hidden, self.control(hidden.shape[-1]).to(hidden), mask, self.parity)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Make room for a saved vector: its width is not known before the first batch."""
        saved = state_dict.get(f"{prefix}direction")
        if self.direction is None and saved is not None:
            self.direction = torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *rest)
