"""Metrics that are one number out of several named means, as torchmetrics classes that sum over ranks."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.errors import DataError, UnknownNameError
from unlearnkit.metrics.functional.memorisation import Values


class PartsMetric(Metric):
    """Average the rows of each named part; subclasses combine the means.

    Attributes:
        parts: The names.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = True
    ideal: str | None = None
    parts: ClassVar[tuple[str, ...]] = ()
    totals: Tensor
    rows: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("totals", torch.zeros(len(self.parts), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros(len(self.parts), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, part: str, values: Values) -> None:
        """Add ``[rows]`` values of one part, such as ``"retain_rouge"``.

        Raises:
            UnknownNameError: ``part`` is none of ``parts``.
        """
        if part not in self.parts:
            raise UnknownNameError.among("part", part, self.parts)
        place = self.parts.index(part)
        found = torch.as_tensor(values, dtype=torch.float64, device=self.totals.device)
        self.totals[place] += found.sum()
        self.rows[place] += len(found)

    def means(self) -> dict[str, float]:
        """Return the mean of each part.

        Raises:
            DataError: A part has no rows on any rank.
        """
        counts = dict(zip(self.parts, self.rows.tolist(), strict=True))
        empty = [name for name, count in counts.items() if count == 0]
        if empty:
            raise DataError(
                f"`{type(self).__name__}` must have rows of all {len(self.parts)} parts. Found none of "
                f"{', '.join(empty)}. Update it with them."
            )
        return dict(zip(self.parts, (self.totals / self.rows).tolist(), strict=True))
