"""Divergence and distance from the model that unlearning started at as torchmetrics classes.

The formulas are in ``unlearnkit.metrics.functional.drift``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from unlearnkit.errors import DataError
from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.functional.drift import kl_from_start, parameter_distance


class KLFromStart(RowMeanMetric):
    """Mean ``KL(p || p*)`` a token from the model that unlearning started at, nats. Down, at equal effect.

    >>> metric = KLFromStart()
    >>> metric.update(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 2.0]]]), torch.ones(1, 1, dtype=torch.bool))
    >>> round(metric.compute().item(), 4)
    0.4338
    """

    higher_is_better: bool | None = False

    def update(self, logits: Tensor, start_logits: Tensor, mask: Tensor) -> None:
        """Add logits [batch, units, classes] of both models, and which units count, [batch, units].

        Raises:
            MismatchError: The logits' shapes differ.
        """
        self.add(kl_from_start(logits, start_logits)[mask.bool()])


class DistanceToStart(Metric):
    """``|theta - theta*|_2``, how far the weights have moved from where unlearning started. Down, at equal effect.

    >>> start = nn.Linear(2, 1)
    >>> metric = DistanceToStart(start)
    >>> metric.update(start)
    >>> metric.compute().item()
    0.0
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = False
    ideal: str | None = None
    distance: Tensor
    seen: Tensor

    def __init__(self, start: nn.Module, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Not a submodule: its weights are no part of the metric's state.
        self._start = {"model": start}
        # Every rank holds all weights: the largest is everyone's.
        self.add_state("distance", torch.zeros((), dtype=torch.float64), dist_reduce_fx="max")
        self.add_state("seen", torch.zeros((), dtype=torch.int64), dist_reduce_fx="max")

    def update(self, model: nn.Module) -> None:
        """Measure a model; the last one counts.

        Raises:
            MismatchError: It has other parameters.
        """
        found = parameter_distance(model, self._start["model"])
        self.distance = torch.tensor(found, dtype=torch.float64, device=self.distance.device)
        self.seen = torch.ones_like(self.seen)

    def compute(self) -> Tensor:
        """Return the distance, a float64 scalar.

        Raises:
            DataError: No model was measured.
        """
        if not self.seen:
            raise DataError(
                "`DistanceToStart` must have seen a model. Found none. Call update before compute."
            )
        return self.distance
