"""AnswerPreservation: on data to keep, rather the answer than a refusal."""

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
)


class AnswerPreservation(Objective):
    """Minimise ``-(1/beta) E log sigma(beta (S_refusal - S_answer))`` on retain questions (AP; Yuan et al. 2024).

    ``S`` is the *sum* of a sequence's negative log-likelihood under the model itself; there is no reference. The mean
    is over sequences (count 1 each). The factor is 1/beta, not the 2/beta of NPO and DPO.

    Args:
        beta: Inverse temperature, above 0; 0.1 in the paper.

    Raises:
        ConfigurationError: ``beta`` is not above 0, or the batch has no second answers.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4)
    >>> value = AnswerPreservation(beta=0.1)(model, batch | {"alternative": batch}).sums
    >>> round(value[0].item(), 4) == round(10 * 0.6931472, 4)  # (1/beta) log 2 where both are as likely
    True
    """

    role = "retain"
    answers = "refusals"

    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        self.beta = require_positive("beta", beta)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sequence's loss [batch] and ones [batch]."""
        refusal = require_alternative(batch, self)
        advantage = model.losses(refusal) - model.losses(batch)
        sums = -(1.0 / self.beta) * logsigmoid(self.beta * advantage)
        return PerSample(sums, torch.ones_like(sums))
