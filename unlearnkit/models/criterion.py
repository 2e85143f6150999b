"""WithCriterion: any module of one's own, with a loss, behind the model protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unlearnkit.errors import ConfigurationError
from unlearnkit.models.precision import widened

Criterion = Callable[[Any, Tensor], Tensor]
"""Maps outputs and targets to one loss per sample, [batch]."""


def per_sample_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each sample: outputs [batch, classes, ...], targets [batch, ...]."""
    losses = cross_entropy(outputs, targets, reduction="none")
    return losses.flatten(1).sum(-1) if losses.dim() > 1 else losses


class WithCriterion(nn.Module):
    """Give ``losses``, ``counts`` and ``units`` to a network that maps inputs to outputs.

    Args:
        network: Any module; called with the batch's inputs.
        criterion: Maps (outputs, targets) to a loss per sample [batch]; the default is cross-entropy.

    >>> model = WithCriterion(nn.Linear(3, 2))
    >>> batch = {"inputs": torch.zeros(4, 3), "targets": torch.tensor([0, 1, 0, 1]), "index": torch.arange(4)}
    >>> model.losses(batch).shape
    torch.Size([4])
    """

    def __init__(self, network: nn.Module, criterion: Criterion = per_sample_cross_entropy) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion

    def forward(self, batch: dict[str, Any]) -> Any:
        """Return the network's outputs."""
        return self.network(batch["inputs"])

    def losses(self, batch: dict[str, Any]) -> Tensor:
        """Return the criterion of each sample, [batch].

        Raises:
            ConfigurationError: The criterion returns another shape.
        """
        losses = self.criterion(self(batch), batch["targets"])
        if losses.shape != batch["index"].shape:
            remedy = "Build it with reduction='none'."
            if losses.dim() > 1:
                remedy = "Sum over what a sample holds, and see that outputs and targets have one shape."
            raise ConfigurationError(
                f"`criterion` (`loss` of unlearn) must return one loss per sample, shape "
                f"{tuple(batch['index'].shape)}. Found shape {tuple(losses.shape)}. {remedy}"
            )
        return losses

    def counts(self, batch: dict[str, Any]) -> Tensor:
        """Return ones, [batch]: a sample is one unit."""
        return torch.ones_like(batch["index"])

    def units(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [batch, 1, classes], targets [batch, 1] and mask [batch, 1]."""
        targets = batch["targets"][:, None]
        return widened(self(batch)[:, None]), targets, torch.ones_like(targets, dtype=torch.bool)
