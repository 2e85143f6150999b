"""CEU: learn what the model would say if it could not say the truth."""

from __future__ import annotations

import math
from typing import Any

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel


class CEU(Objective):
    """Minimise ``-sum_v q_v log p_v``, ``q = softmax(z, true token at -inf)``, detached (Yang 2025, CE-U).

    At each token ``q`` is the model's own distribution without the true token. Bounded below, unlike ascent: its
    gradient ``p - q`` in the logits vanishes where the true token has no probability left. The mean is over all
    scored tokens but the first ones of each answer.

    Args:
        skip: How many of each answer's first tokens to leave out; 1 in the public code, because the first word of
            an answer tells little of what it says.

    Raises:
        ConfigurationError: ``skip`` is negative.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> bool((CEU(skip=0)(ToyClassifier(seed=0), toy_batch(4)).sums > 0).all())
    True
    """

    role = "forget"

    def __init__(self, skip: int = 1) -> None:
        super().__init__()
        if skip < 0:
            raise ConfigurationError(
                f"`skip` must be 0 or above, the first tokens of an answer to leave out. Found {skip}. Use skip=1."
            )
        self.skip = skip

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed cross-entropy [batch], nats, and its number of units [batch]."""
        logits, targets, mask = model.units(batch)
        kept = mask & (mask.cumsum(-1) > self.skip)
        without = logits.detach().scatter(-1, targets[..., None], -math.inf).softmax(-1)
        entropy = -(without * logits.log_softmax(-1)).sum(-1)
        return PerSample((entropy * kept).sum(-1), kept.sum(-1))
