"""Paper 002's TFE and OVR as torchmetrics classes; the formulas are in ``unlearnkit.metrics.functional.overall``."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.metrics.functional.closer_look import (
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    forget_efficacy,
    model_capability,
)
from unlearnkit.metrics.functional.overall import overall_score, targeted_forget_efficacy
from unlearnkit.metrics.parts import PartsMetric

_TARGETED = ("forget_token_entropy", "forget_refusal_entailment")


class TargetedForgetEfficacy(PartsMetric):
    """Harmonic mean of token entropy and refusal entailment on the forget set (TFE, paper 002). Up.

    >>> metric = TargetedForgetEfficacy()
    >>> metric.update("forget_token_entropy", [1.0, 1.0])
    >>> metric.update("forget_refusal_entailment", [1.0, 0.0])
    >>> metric.compute().item()
    0.6666666666666666
    """

    parts = _TARGETED

    def compute(self) -> Tensor:
        """Return a float64 scalar.

        Raises:
            DataError: A part has no rows on any rank, or a negative mean.
            NonFiniteError: A part is NaN or infinite.
        """
        return torch.tensor(targeted_forget_efficacy(*self.means().values()), dtype=torch.float64)


class OverallScore(PartsMetric):
    """(UFE + MU) / 2 (OVR, paper 002), for methods without a refusal as target. Derived. Up.

    >>> metric = OverallScore()
    >>> for part in metric.parts:
    ...     metric.update(part, [0.5])
    >>> metric.compute().item()
    0.5
    """

    parts = CAPABILITY_PARTS + EFFICACY_PARTS

    def compute(self) -> Tensor:
        """Return a float64 scalar.

        Raises:
            DataError: A part has no rows on any rank, or a negative mean.
            NonFiniteError: A part is NaN or infinite.
        """
        means = self.means()
        capability = model_capability({name: means[name] for name in CAPABILITY_PARTS}).value
        untargeted = forget_efficacy({name: means[name] for name in EFFICACY_PARTS})
        targeted = targeted_forget_efficacy(*(means[name] for name in _TARGETED)) if self._refusals else None
        return torch.tensor(overall_score(capability, untargeted, targeted), dtype=torch.float64)

    _refusals = False


class TargetedOverallScore(OverallScore):
    """((UFE + TFE) / 2 + MU) / 2 (OVR, paper 002), for methods that aim at a refusal. Derived. Up."""

    parts = CAPABILITY_PARTS + EFFICACY_PARTS + _TARGETED
    _refusals = True
