"""Model utility as a torchmetrics class; the definition is in ``unlearnkit.metrics.functional.utility``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unlearnkit.metrics.functional.utility import UTILITY_PARTS, UtilityResult, model_utility
from unlearnkit.metrics.parts import PartsMetric


class HarmonicMetric(PartsMetric):
    """Combine the parts' means to their harmonic mean, and keep it with its parts.

    Attributes:
        result: After ``compute``: the value with its parts by name.
    """

    @staticmethod
    def combine(parts: Mapping[str, float]) -> UtilityResult:
        """Return the mean of the named parts; each metric has its own set of them."""
        raise NotImplementedError

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result: UtilityResult | None = None

    def compute(self) -> Tensor:
        """Return the harmonic mean, a float64 scalar.

        Raises:
            DataError: A part has no rows on any rank, or a negative mean.
            NonFiniteError: A part is NaN or infinite.
        """
        self.result = type(self).combine(self.means())
        return torch.tensor(self.result.value, dtype=torch.float64)


class ModelUtility(HarmonicMetric):
    """Harmonic mean of nine means: {probability, ROUGE-L recall, truth ratio} x three sets (TOFU). Up.

    Attributes:
        result: After ``compute``: the value with its nine parts by name.

    >>> metric = ModelUtility()
    >>> for part in UTILITY_PARTS:
    ...     metric.update(part, [0.25, 0.75])
    >>> metric.compute().item(), metric.result.n
    (0.5, 9)
    """

    parts = UTILITY_PARTS
    combine = staticmethod(model_utility)
