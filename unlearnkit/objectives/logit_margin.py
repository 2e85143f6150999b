"""LogitMargin: say everything with the same confidence."""

from __future__ import annotations

from typing import Any

from unlearnkit.batches import IGNORE
from unlearnkit.objectives.base import (
    Objective,
    Parity,
    PerSample,
    Reference,
    UnlearnableModel,
    all_logits,
    require_parity,
)


class LogitMargin(Objective):
    """Minimise ``(max_v z_v - mean_v z_v)^2`` of each scored token (Entesari et al. 2025; PDU's forget side).

    Bounded below by 0, where all logits are equal. The mean is over all scored tokens. PDU's other half, the weight of
    the retain loss, is the strategy ``PrimalDual``.

    Args:
        parity: ``paper``, or ``open-unlearning`` for the number of its code, which reads the mask one position late:
            it leaves out the logits that predict an answer's first token and takes in those after its last.

    Raises:
        UnknownNameError: ``parity`` is neither of the two.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> bool((LogitMargin()(ToyClassifier(seed=0), toy_batch(4)).sums >= 0).all())
    True
    """

    role = "forget"

    def __init__(self, parity: Parity = "paper") -> None:
        super().__init__()
        self.parity: Parity = require_parity(parity)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed squared margin [batch] and its number of units [batch]."""
        if self.parity == "open-unlearning":
            logits, mask = all_logits(model, batch, self), batch["labels"] != IGNORE
        else:
            logits, _, mask = model.units(batch)
        margin = logits.amax(-1) - logits.mean(-1)
        return PerSample((margin.square() * mask).sum(-1), mask.sum(-1))
