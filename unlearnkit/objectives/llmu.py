"""LLMU: unlearn the answer, learn another one."""

from __future__ import annotations

from typing import Any, Literal

import torch

from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_alternative,
    require_not_negative,
)


class LLMU(Objective):
    """Minimise ``-l + epsilon l_other``: mean NLLs a token, of the answer and of another question's (Yao et al. 2023).

    The forget side of LLMU, whose retain side is ``KLToReference``. Each ``l`` is the mean over one sequence's tokens,
    and the loss is the mean over sequences (count 1 each), so that micro-batches and ranks never matter.

    Args:
        epsilon: Weight of the other answer, 0 or above.
        parity: ``paper``, or ``closer-look`` for the number of its code: each term is a mean over the tokens of a
            micro-batch, and micro-batches count alike.

    Raises:
        ConfigurationError: ``epsilon`` is negative, or the batch has no second answers.
        UnknownNameError: ``parity`` is neither of the two.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> batch = toy_batch(4)
    >>> value = LLMU()(ToyClassifier(seed=0), batch | {"alternative": batch})
    >>> value.sums.abs().max().item()  # the same answer: nothing to learn
    0.0
    """

    role = "forget"
    answers = "mismatch"

    def __init__(self, epsilon: float = 1.0, parity: Literal["paper", "closer-look"] = "paper") -> None:
        super().__init__()
        self.epsilon = require_not_negative("epsilon", epsilon)
        if parity not in ("paper", "closer-look"):
            raise UnknownNameError.among("parity", str(parity), ["paper", "closer-look"])
        self.parity = parity

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's loss [batch], nats a token, and its count [batch]."""
        other = require_alternative(batch, self)
        own, second = model.losses(batch), model.losses(other)
        counts, others = model.counts(batch), model.counts(other)
        if self.parity == "closer-look":
            total, total_other = counts.sum().clamp_min(1), others.sum().clamp_min(1)
            return PerSample(self.epsilon * second / total_other - own / total, counts / total)
        sums = self.epsilon * second / others.clamp_min(1) - own / counts.clamp_min(1)
        scored = (counts > 0) & (others > 0)
        return PerSample(torch.where(scored, sums, 0.0 * sums), scored.to(sums.dtype))
