"""AdaptiveAscent: ascend most where the model is still sure."""

from __future__ import annotations

import math
from typing import Any

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel

TINY = 1e-15
"""Keeps the weight of a sample without any loss finite, as in the published code."""


class AdaptiveAscent(Objective):
    """Minimise ``-alpha sum(c l) / sum(c)``, ``c = 1 / l^power``: SFRon's forget side (Huang et al. 2024).

    The weights are constants of the round, and they are normalised over all ranks and micro-batches: samples
    that are forgotten already (a large loss) are left alone.

    Args:
        alpha: Factor on the loss, above 0. Adam's step does not depend on it, except through ``eps`` and clipping.
        power: How strongly small losses are favoured, 0 or above; 0 is gradient ascent. 0.5 on CIFAR-10.
        floor: Loss in nats that a smaller one is weighed as, 0 or above. The published rule has 0: one sample whose
            loss fp32 rounds to exactly 0 then takes all the weight, and as its gradient is rounding noise, nothing
            is forgotten any more. A target that knows its data by heart has many such samples.

    Raises:
        ConfigurationError: A number is out of its range.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)["forget"]
    >>> value, plain = AdaptiveAscent(power=0.0)(model, batch), model.losses(batch)
    >>> bool((value.sums.sum() / value.counts.sum() + plain.mean()).abs() < 1e-6)
    True
    """

    role = "forget"

    def __init__(self, alpha: float = 1.0, power: float = 0.5, floor: float = 1e-4) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise ConfigurationError(f"`alpha` must be above 0. Found {alpha}. Use e.g. 1.")
        if not 0 <= power < math.inf:
            raise ConfigurationError(f"`power` must be 0 or above. Found {power}. Use e.g. 0.5.")
        if not 0 <= floor < math.inf:
            raise ConfigurationError(f"`floor` must be 0 or above. Found {floor}. Use e.g. 1e-4.")
        self.alpha = alpha
        self.power = power
        self.floor = floor

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return ``-alpha c l`` [batch], nats, and the weights ``c`` [batch] that they are divided by."""
        losses = model.losses(batch)
        # The mean over a sample's units: weights must not hang on the length of a text.
        means = (losses.detach() / model.counts(batch).clamp_min(1)).clamp_min(self.floor)
        weights = 1.0 / (means**self.power + TINY)
        return PerSample(-self.alpha * weights * losses, weights * model.counts(batch))
