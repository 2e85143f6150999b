"""NPO: negative preference optimization."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid

from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_positive,
    require_reference,
)


class NPO(Objective):
    """Minimise ``-(2/beta) E log sigma(-beta log(p / p_ref))`` (paper 001, eq. 7; Zhang et al. 2024).

    ``log p`` is the *sum* over the sequence, the mean is over sequences (count 1 each). With
    ``S = -log p`` the loss per sequence is ``-(2/beta) log sigma(beta (S - S_ref))``. As beta falls
    to 0 its gradient becomes that of gradient ascent; large beta forgets more slowly.

    Args:
        beta: Inverse temperature, above 0; 0.1 in the papers.

    Raises:
        ConfigurationError: ``beta`` is not above 0.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)["forget"]
    >>> value = NPO(beta=0.1)(model, batch, lambda: model).sums
    >>> round(value[0].item(), 4) == round(20 * 0.6931472, 4)  # (2/beta) log 2 at the target
    True
    """

    role = "forget"
    needs_reference = True

    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        self.beta = require_positive("beta", beta)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sequence's loss [batch] and ones [batch]."""
        target = require_reference(reference, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        nll = model.losses(batch)
        with torch.no_grad():
            reference_nll = target.losses(batch)
        sums = -(2.0 / self.beta) * logsigmoid(self.beta * (nll - reference_nll))
        return PerSample(sums, torch.ones_like(sums))
