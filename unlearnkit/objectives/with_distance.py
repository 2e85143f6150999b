"""WithDistance: any forget objective, and stay near the target's weights."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_positive,
    require_reference,
)
from unlearnkit.objectives.nll_and_distance import squared_distance

Per = Literal["sequence", "unit"]
"""What a loss is the mean over: samples, each with its whole sum, or all scored units."""


class WithDistance(Objective):
    """Minimise ``sum_i w_i l_i(theta) + alpha |theta - theta*|^2``, the inner problem of U2A (paper 004, eq. 13).

    ``l_i`` is the sample's own sum under the objective given; the host makes the weighted mean of it, which is the
    paper's sum because U2A's weights add up to 1. ``theta*`` are the target's weights.

    Args:
        objective: What forgets: an objective made for the forget side (gradient ascent, NPO ...).
        alpha: Weight of the squared distance over all trainable weights, above 0; lambda in the paper.
        per: ``sequence`` counts each sample once, as the paper does; ``unit`` keeps the objective's own counts.

    Raises:
        ConfigurationError: ``objective`` is made for the retain side, or ``alpha`` is not above 0.
        UnknownNameError: ``per`` is neither of the two.

    >>> from unlearnkit.objectives import AscentNLL
    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, objective = ToyClassifier(seed=0), WithDistance(AscentNLL(), alpha=2.0)
    >>> objective(model, toy_batch(3)).counts.tolist()
    [1, 1, 1]
    >>> objective.penalty(model, lambda: ToyClassifier(seed=0)).item()
    0.0
    """

    role = "forget"
    needs_reference = True

    def __init__(self, objective: Objective, alpha: float = 1.0, per: Per = "sequence") -> None:
        super().__init__()
        if objective.role != "forget":
            raise ConfigurationError(
                "`objective` must be one that is minimised to forget, such as AscentNLL, whose value is the "
                f"log-likelihood. Found {type(objective).__name__}, made for the retain side: minimised, it learns "
                "the samples, and every gain has the wrong sign. Use AscentNLL or NPO."
            )
        if per not in ("sequence", "unit"):
            raise UnknownNameError.among("per", str(per), ["sequence", "unit"])
        self.objective = objective
        self.alpha = require_positive("alpha", alpha)
        self.per = per
        self.distance = alpha  # what U2A compares with the lambda of its gains
        self.answers = objective.answers  # type: ignore[misc]

    def bind(self, datamodule: Any) -> None:
        """Hand the run's data module to the objective."""
        self.objective.bind(datamodule)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return the objective's sums [batch], and ones or its counts [batch]."""
        found: PerSample = self.objective(model, batch, reference)
        return found if self.per == "unit" else PerSample(found.sums, torch.ones_like(found.counts))

    def penalty(self, model: UnlearnableModel, reference: Reference | None = None) -> Tensor | None:
        """Return ``alpha |theta - theta*|^2`` plus the objective's own penalty, 0-d."""
        distance = self.alpha * squared_distance(model, require_reference(reference, self), "forget", self)
        own = self.objective.penalty(model, reference)
        return distance if own is None else distance + own
