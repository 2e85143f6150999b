"""KLToReference: stay near the target's predictions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from unlearnkit.batches import Side
from unlearnkit.objectives.base import (
    Objective,
    Parity,
    PerSample,
    Reference,
    UnlearnableModel,
    all_logits,
    require_parity,
    require_positive,
    require_reference,
)


class KLToReference(Objective):
    """Minimise ``T^2 KL(p_ref || p)``, ``KL = sum_v p_ref (log p_ref - log p)``, over the scored units (TOFU's KL).

    Public code bases average over prompt and padding as well; here only scored units count, one
    row for each predicted answer token. The reference is the target before unlearning, in eval mode.

    Args:
        temperature: T, what logits are divided by on both sides; ``T^2`` keeps the gradient's size (Hinton et al.
            2015). 1 in TOFU and in DualOptim's code (paper 002), 4 and 2 in SCRUB.
        parity: ``paper``, or ``open-unlearning`` for the number of its code, TOFU's and closer-look's: every
            position of each row is a unit, prompt, padding and the last one included.

    Raises:
        ConfigurationError: ``temperature`` is not above 0.
        UnknownNameError: ``parity`` is neither of the two.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)["retain"]
    >>> bool(KLToReference()(model, batch, lambda: model).sums.abs().max() < 1e-6)
    True
    """

    role: ClassVar[Side] = "retain"
    needs_reference = True

    def __init__(self, temperature: float = 1.0, parity: Parity = "paper") -> None:
        super().__init__()
        self.temperature = require_positive("temperature", temperature)
        self.parity: Parity = require_parity(parity)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed KL divergence [batch], nats, and its number of units [batch]."""
        target = require_reference(reference, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        if self.parity == "open-unlearning":
            logits = all_logits(model, batch, self)
            mask = batch["labels"].new_ones(logits.shape[:2])
            with torch.no_grad():
                reference_logits = all_logits(target, batch, self)
        else:
            logits, _, mask = model.units(batch)
            with torch.no_grad():
                reference_logits, _, _ = target.units(batch)
        divergence = divergence_from(reference_logits, logits, self.temperature)
        return PerSample((divergence * mask).sum(-1), mask.sum(-1))


def divergence_from(reference: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return ``T^2 KL(p_ref || p)`` of each unit, [batch, units], nats; logits are [batch, units, classes].

    >>> divergence_from(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 2.0]]])).item()
    0.433...
    """
    log_p, log_ref = (logits / temperature).log_softmax(-1), (reference / temperature).log_softmax(-1)
    return temperature**2 * (log_ref.exp() * (log_ref - log_p)).sum(-1)
