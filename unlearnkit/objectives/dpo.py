"""DPO: direct preference optimization, the second answer preferred to the one to forget."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid

from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_alternative,
    require_positive,
    require_reference,
)


class DPO(Objective):
    """Minimise ``-(2/beta) E log sigma(beta [(S_l - S_l,ref) - (S_w - S_w,ref)])`` (Rafailov et al. 2023).

    ``S`` is the *sum* of a sequence's negative log-likelihood: of the answer to forget (l), and of the second answer
    to the same question (w), a refusal unless the data say otherwise. The mean is over sequences (count 1 each). The
    factor is 2/beta as in NPO, so that as beta falls to 0 the gradient is that of ``S_w - S_l``. TOFU's own code has
    no such factor and stops with an undefined name.

    Args:
        beta: Inverse temperature, above 0; 0.1 in the papers.

    Raises:
        ConfigurationError: ``beta`` is not above 0, or the batch has no second answers.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4) | {"alternative": toy_batch(4, seed=1)}
    >>> value = DPO(beta=0.1)(model, batch, lambda: model).sums
    >>> round(value[0].item(), 4) == round(20 * 0.6931472, 4)  # (2/beta) log 2 at the target
    True
    """

    role = "forget"
    needs_reference = True
    answers = "refusals"

    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        self.beta = require_positive("beta", beta)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sequence's loss [batch] and ones [batch]."""
        target, preferred = require_reference(reference, self), require_alternative(batch, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        lost, won = model.losses(batch), model.losses(preferred)
        with torch.no_grad():
            margin = target.losses(batch) - target.losses(preferred)
        sums = -(2.0 / self.beta) * logsigmoid(self.beta * (lost - won - margin))
        return PerSample(sums, torch.ones_like(sums))
