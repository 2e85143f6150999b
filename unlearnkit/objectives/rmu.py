"""RMU: misdirect the representation of the data to forget."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
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
        ConfigurationError: ``coefficient`` is not above 0, the model has no such block or does not show it, or a
            vector of another width was loaded.
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

    def control(self, width: int, device: torch.device | None = None) -> Tensor:
        """Return ``c u/|u|``, [width], fp32, on a device where it then stays; None leaves it where it is.

        Raises:
            ConfigurationError: A vector of another width was loaded.
        """
        if self.direction is None:
            drawn = torch.rand(width, generator=torch.Generator().manual_seed(self.seed))
            self.direction = drawn / drawn.norm()
        if len(self.direction) != width:
            raise ConfigurationError(
                f"`model` must be as wide as the one that RMU's vector was drawn for. Found hidden states of {width} "
                f"and a loaded vector of {len(self.direction)}. Resume with the checkpoint's model, or start anew."
            )
        if device is not None:
            self.direction = self.direction.to(device)
        return self.coefficient * self.direction

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's mean squared distance [batch] and 1 for each that has a scored token [batch]."""
        hidden, mask = hidden_states(model, batch, self.layer)
        wanted = self.control(hidden.shape[-1], hidden.device)
        return mean_squares(hidden, wanted.to(hidden.dtype), mask, self.parity)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Make room for a saved vector: its width is not known before the first batch, which may refuse it."""
        saved = state_dict.get(f"{prefix}direction")
        if saved is not None and (self.direction is None or self.direction.shape != saved.shape):
            self.direction = torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *rest)
