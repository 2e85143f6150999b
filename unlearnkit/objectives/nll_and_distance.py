"""NLLAndDistance: answer the data to keep, and stay near the target's weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_not_negative,
    require_reference,
)
from unlearnkit.sharding import local_part, reshard, sharded_modules, sum_over_parts


class NLLAndDistance(Objective):
    """Minimise ``gamma NLL + alpha |theta - theta*|^2``, ``theta*`` the target's weights.

    The parameter regularization that paper 004 (appendix) traces loss and divergence regularization back to. The
    squared distance runs over all trainable weights. It is a penalty: it counts once, whatever the number of ranks,
    micro-batches and tokens.

    Args:
        gamma: Weight of the negative log-likelihood (mean over all scored tokens).
        alpha: Weight of the squared distance.

    Raises:
        ConfigurationError: A weight is negative, or the reference has no weights of its own (``lora`` whose frozen
            weights are the target, ``cache_reference``).

    >>> from unlearnkit.testing import ToyClassifier
    >>> objective = NLLAndDistance(alpha=1.0)
    >>> objective.penalty(ToyClassifier(seed=0), lambda: ToyClassifier(seed=0)).item()
    0.0
    """

    role = "retain"
    needs_reference = True

    def __init__(self, gamma: float = 1.0, alpha: float = 1.0) -> None:
        super().__init__()
        self.gamma = require_not_negative("gamma", gamma)
        self.alpha = require_not_negative("alpha", alpha)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's weighted negative log-likelihood [batch], nats, and its units [batch]."""
        return PerSample(self.gamma * model.losses(batch), model.counts(batch))

    def penalty(self, model: Any, reference: Reference | None = None) -> Tensor | None:
        """Return ``alpha |theta - theta*|^2``, 0-d."""
        return self.alpha * squared_distance(model, require_reference(reference, self), "retain", self)


def squared_distance(model: Any, target: Any, argument: str, objective: Objective) -> Tensor:
    """Return ``|theta - theta*|^2`` over all trainable weights, 0-d.

    Args:
        model: Has ``theta``.
        target: The reference, with ``theta*``.
        argument: What the objective is given as, for the message.
        objective: Who asks, for the message.

    Raises:
        ConfigurationError: The target has no weights of its own.
    """
    if not isinstance(target, nn.Module):
        raise ConfigurationError(
            f"`{argument}` {type(objective).__name__} must have the target's weights beside the model's. Found a "
            f"reference of type {type(target).__name__}. Set cache_reference=false, and leave `lora` out: an "
            "adapter's size is bounded by weight_decay."
        )
    reshard(sharded_modules(target))
    there = dict(target.named_parameters())
    trained = {name: own for name, own in model.named_parameters() if own.requires_grad}
    squares = [
        (local_part(own) - local_part(there[name].detach())).square().sum() for name, own in trained.items()
    ]
    return sum_over_parts(squares, list(trained.values()))
