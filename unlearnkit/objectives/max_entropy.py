"""MaxEntropy: know nothing about the data to forget."""

from __future__ import annotations

import math
from typing import Any, Literal

from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel


class MaxEntropy(Objective):
    """Minimise ``KL(U || p) = -log V - (1/V) sum_v log p_v`` over the scored tokens (ME; Yuan et al. 2024; paper 002).

    ``U`` is uniform on the vocabulary of size V. Bounded below by 0, unlike ascent. The mean is over all scored
    tokens. Closer-look's scripts average over question and padding as well, paper 002's do not. Both weigh the loss
    with 0.1 on TOFU (closer-look with 0.5 on real people); weights are the strategy's here.

    Args:
        positions: ``answer``, or ``all`` to match closer-look's scripts: every position but the last, padding
            included. They pad to 500 tokens; here the width is the batch's own.

    Raises:
        UnknownNameError: ``positions`` is neither of the two.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> bool((MaxEntropy()(ToyClassifier(seed=0), toy_batch(4)).sums >= 0).all())
    True
    """

    role = "forget"

    def __init__(self, positions: Literal["answer", "all"] = "answer") -> None:
        super().__init__()
        if positions not in ("answer", "all"):
            raise UnknownNameError.among("positions", str(positions), ["answer", "all"])
        self.positions = positions

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed divergence [batch], nats, and its number of units [batch]."""
        logits, _, mask = model.units(batch)
        if self.positions == "all":
            mask = mask.new_ones(mask.shape)
        divergence = -math.log(logits.shape[-1]) - logits.log_softmax(-1).mean(-1)
        return PerSample((divergence * mask).sum(-1), mask.sum(-1))
