"""DPO: direct preference optimization, the second answer preferred to the one to forget."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_alternative,
    require_positive,
    require_reference,
)

PreferenceLoss = Literal["sigmoid", "ipo", "hinge"]
"""What is minimised of the margin between two answers."""


class DPO(Objective):
    """Minimise a loss of how much more the second answer gained on the target than the one to forget did.

    With ``S`` the *sum* of a sequence's negative log-likelihood, of the answer to forget (l) and of the second answer
    to the same question (w), a refusal unless the data say otherwise, the margin is
    ``m = (S_l - S_l,ref) - (S_w - S_w,ref)``, in nats, and the loss is

    - ``sigmoid``: ``-(2/beta) log sigma(beta m)`` (Rafailov et al. 2023);
    - ``ipo``: ``(m - 1/(2 beta))^2`` (Azar et al. 2024, eq. 17), bounded margins; sums of log-likelihoods as in the
      paper, where some code takes means over tokens;
    - ``hinge``: ``max(0, 1/beta - m)``, which is SLiC's ``max(0, 1 - beta m)`` (Zhao et al. 2023) over beta.

    The mean is over sequences (count 1 each). ``sigmoid`` has the factor 2/beta of NPO, so that as beta falls to 0 the
    gradient is that of ``S_w - S_l``; TOFU's own code has no such factor and stops with an undefined name. Both answers
    may become less likely while the margin grows: ``metrics.PreferenceMargin`` and ``PreferenceAccuracy`` follow it.

    Args:
        beta: Inverse temperature, above 0; 0.1 in the papers.
        loss: Which loss of the margin.

    Raises:
        ConfigurationError: ``beta`` is not above 0, or the batch has no second answers.
        UnknownNameError: There is no such loss.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4) | {"alternative": toy_batch(4, seed=1)}
    >>> value = DPO(beta=0.1)(model, batch, lambda: model).sums
    >>> round(value[0].item(), 4) == round(20 * 0.6931472, 4)  # (2/beta) log 2 at the target
    True
    >>> [DPO(0.1, loss)(model, batch, lambda: model).sums[0].item() for loss in ("ipo", "hinge")]
    [25.0, 10.0]
    """

    role = "forget"
    needs_reference = True
    answers = "refusals"

    def __init__(self, beta: float = 0.1, loss: PreferenceLoss = "sigmoid") -> None:
        super().__init__()
        if loss not in get_args(PreferenceLoss):
            raise UnknownNameError.among("loss", loss, get_args(PreferenceLoss))
        self.beta = require_positive("beta", beta)
        self.loss: PreferenceLoss = loss

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sequence's loss [batch] and ones [batch]."""
        target, preferred = require_reference(reference, self), require_alternative(batch, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        lost, won = model.losses(batch), model.losses(preferred)
        with torch.no_grad():
            offset = target.losses(batch) - target.losses(preferred)
        sums = self._of(lost - won - offset)
        return PerSample(sums, torch.ones_like(sums))

    def _of(self, margin: Tensor) -> Tensor:
        """Return the loss of margins [batch], nats."""
        if self.loss == "ipo":
            return (margin - 1.0 / (2.0 * self.beta)).square()
        if self.loss == "hinge":
            return (1.0 / self.beta - margin).relu()
        return -(2.0 / self.beta) * logsigmoid(self.beta * margin)
