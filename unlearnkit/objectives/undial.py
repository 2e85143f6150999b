"""UNDIAL: learn the target's own answer with less weight on the true token."""

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
    require_not_negative,
    require_parity,
    require_reference,
)


class UNDIAL(Objective):
    """Minimise ``-sum_v q_v log p_v``, ``q = softmax(z_ref - beta 1[v = y])`` (Dong et al. 2024, UNDIAL).

    Self-distillation from the target's logits, of which the true token's is lowered by beta. The target is fixed, so
    that training ends where the model equals ``q``. The mean is over the scored tokens.

    Args:
        beta: By how much the true token's logit is lowered, 0 or above; 10 in the public code.
        parity: ``paper``, or ``open-unlearning`` for the number of its code: the mean over prompt and padding too,
            where the label -100 lowers the logit of the 100th token from the vocabulary's end.

    Raises:
        ConfigurationError: ``beta`` is negative, or parity is wanted of a vocabulary below 100 tokens.
        UnknownNameError: ``parity`` is neither of the two.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4)
    >>> UNDIAL()(model, batch, lambda: model).sums.shape
    torch.Size([4])
    """

    role = "forget"
    needs_reference = True

    def __init__(self, beta: float = 10.0, parity: Parity = "paper") -> None:
        super().__init__()
        self.beta = require_not_negative("beta", beta)
        self.parity: Parity = require_parity(parity)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed cross-entropy [batch], nats, and its number of units [batch]."""
        target = require_reference(reference, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        logits, targets, mask = model.units(batch)
        with torch.no_grad():
            teacher, _, _ = target.units(batch)
        if self.parity == "open-unlearning":
            targets, mask = _as_coded(targets, mask, logits.shape[-1])
        lowered = torch.zeros_like(teacher).scatter(-1, targets[..., None], self.beta)
        entropy = -((teacher - lowered).softmax(-1) * logits.log_softmax(-1)).sum(-1)
        return PerSample((entropy * mask).sum(-1), mask.sum(-1))


def _as_coded(targets: Tensor, mask: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return the token that open-unlearning's indexing lowers at each position, and a mask of all positions."""
    if vocabulary < 100:
        raise ConfigurationError(
            "`parity` 'open-unlearning' must have a vocabulary of 100 tokens or more, because that code uses the label "
            f"-100 as an index. Found {vocabulary}. Use parity='paper'."
        )
    return torch.where(mask, targets, vocabulary - 100), torch.ones_like(mask)
