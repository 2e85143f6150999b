"""IDK: learn to refuse."""

from __future__ import annotations

from typing import Any, ClassVar

from unlearnkit.batches import Answers
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_alternative,
)


class IDK(Objective):
    """Minimise the negative log-likelihood of a refusal to each question (TOFU's IDK; paper 002's IDK).

    The mean is over the refusals' tokens. TOFU's own code takes one mean over the tokens of refusals and retain
    answers together; here the two sides are two losses, whose weights are the strategy's.

    Raises:
        ConfigurationError: The batch has no second answers.

    >>> from unlearnkit.objectives import NLL
    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, other = ToyClassifier(seed=0), toy_batch(4, seed=1)
    >>> value = IDK()(model, toy_batch(4) | {"alternative": other})
    >>> bool((value.sums == NLL()(model, other).sums).all())
    True
    """

    role = "forget"
    answers: ClassVar[Answers | None] = "refusals"

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return the second answers' summed negative log-likelihood [batch], nats, and their units [batch]."""
        second = require_alternative(batch, self)
        return PerSample(model.losses(second), model.counts(second))
