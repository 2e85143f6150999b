"""The mean over rows that most metrics are, as a torchmetrics class that sums over ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.errors import DataError
from unlearnkit.metrics.functional.memorisation import RowMean


class RowMeanMetric(Metric):
    """Average one number a row; subclasses compute the numbers in ``update`` and pass them to ``add``.

    The states are sums and counts, so ranks may hold different numbers of rows, or none. Every subclass says
    what is better: ``higher_is_better`` True or False, or None with an ``ideal``.

    Attributes:
        ideal: What to aim at where neither up nor down is better.
        summary: After ``compute``: the mean with the number of rows and of failed rows, over all ranks.
    """

    full_state_update = False
    is_differentiable = False
    ideal: str | None = None
    total: Tensor
    rows: Tensor
    failures: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.summary: RowMean | None = None
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("failures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor, failed: Tensor | None = None) -> None:
        """Add ``[rows]`` values, and ``[rows]`` bool marks of the failed ones."""
        self.total += values.double().sum().to(self.total.device)
        self.rows += len(values)
        if failed is not None:
            self.failures += failed.sum().to(self.failures.device)

    def compute(self) -> Tensor:
        """Return the mean, a float64 scalar.

        Raises:
            DataError: No rows were added on any rank.
        """
        if not self.rows:
            raise DataError(
                f"`{type(self).__name__}` must have seen at least one row. Found none. "
                "Call update before compute."
            )
        mean = self.total / self.rows
        self.summary = RowMean(mean.item(), int(self.rows), int(self.failures))
        return mean
