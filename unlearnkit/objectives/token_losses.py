"""What objectives that weigh single tokens share: the negative log-likelihood of each scored unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from unlearnkit.objectives.base import UnlearnableModel


def token_losses(model: UnlearnableModel, batch: Any) -> tuple[Tensor, Tensor]:
    """Return the negative log-likelihood of each unit and whether it is scored.

    Args:
        model: The model.
        batch: One side's batch.

    Returns:
        Losses [batch, units], nats, 0 where a unit is not scored; mask [batch, units], boolean.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> losses, mask = token_losses(ToyClassifier(), toy_batch(3))
    >>> losses.shape, bool(mask.all())
    (torch.Size([3, 1]), True)
    """
    logits, targets, mask = model.units(batch)
    flat = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return flat.view(targets.shape) * mask, mask
