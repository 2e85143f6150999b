from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.errors import DataError
from unlearnkit.metrics import DistanceToStart, KLFromStart
from unlearnkit.metrics.functional import kl_from_start, parameter_distance


def test_divergence_is_the_mean_over_units_that_count():
    generator = torch.Generator().manual_seed(0)
    logits, start = (torch.randn(3, 4, 5, generator=generator) for _ in range(2))
    mask = torch.arange(4) < torch.tensor([[4], [1], [0]])
    metric = KLFromStart()
    metric.update(logits[:1], start[:1], mask[:1])
    metric.update(logits[1:], start[1:], mask[1:])
    assert metric.compute().item() == pytest.approx(kl_from_start(logits, start)[mask].mean().item())


def test_distance_is_that_of_the_last_model():
    start, one, two = (nn.Linear(3, 2) for _ in range(3))
    metric = DistanceToStart(start)
    with pytest.raises(DataError, match="must have seen a model"):
        metric.compute()
    metric.update(one)
    metric.update(two)
    assert metric.compute().item() == parameter_distance(two, start)
    assert not list(metric.parameters()) and not metric.state_dict()
