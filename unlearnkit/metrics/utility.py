"""Model utility as a torchmetrics class; the definition is in ``unlearnkit.metrics.functional.utility``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.errors import DataError, UnknownNameError
from unlearnkit.metrics.functional.memorisation import Values
from unlearnkit.metrics.functional.utility import UTILITY_PARTS, UtilityResult, model_utility


class ModelUtility(Metric):
    """Harmonic mean of nine means: {probability, ROUGE-L recall, truth ratio} x three sets (TOFU). Up.

    Attributes:
        result: After ``compute``: the value with its nine parts by name.

    >>> metric = ModelUtility()
    >>> for part in UTILITY_PARTS:
    ...     metric.update(part, [0.25, 0.75])
    >>> metric.compute().item(), metric.result.n
    (0.5, 9)
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = True
    ideal: str | None = None
    totals: Tensor
    rows: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result: UtilityResult | None = None
        self.add_state("totals", torch.zeros(len(UTILITY_PARTS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros(len(UTILITY_PARTS), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, part: str, values: Values) -> None:
        """Add ``[rows]`` values of one part, such as ``"retain_rouge"``.

        Raises:
            UnknownNameError: ``part`` is none of ``UTILITY_PARTS``.
        """
        if part not in UTILITY_PARTS:
            raise UnknownNameError.among("part", part, UTILITY_PARTS)
        place = UTILITY_PARTS.index(part)
        found = torch.as_tensor(values, dtype=torch.float64, device=self.totals.device)
        self.totals[place] += found.sum()
        self.rows[place] += len(found)

    def compute(self) -> Tensor:
        """Return the harmonic mean, a float64 scalar.

        Raises:
            DataError: A part has no rows on any rank, or a negative mean.
            NonFiniteError: A part is NaN or infinite.
        """
        counts = dict(zip(UTILITY_PARTS, self.rows.tolist(), strict=True))
        empty = [name for name, count in counts.items() if count == 0]
        if empty:
            raise DataError(
                f"`ModelUtility` must have rows of all nine parts. Found none of {', '.join(empty)}. "
                "Update it with them."
            )
        means = (self.totals / self.rows).tolist()
        self.result = model_utility(dict(zip(UTILITY_PARTS, means, strict=True)))
        return torch.tensor(self.result.value, dtype=torch.float64)
