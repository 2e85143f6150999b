"""Divergence and distance from where a model started."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unlearnkit.errors import MismatchError
from unlearnkit.metrics.functional import kl_from_start, parameter_distance


def test_it_is_the_divergence_written_naively_and_not_its_reverse():
    logits, start = (
        torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).double(),
        torch.zeros(2, 3, 4),
    )
    start[..., 0] = 2.0
    found = kl_from_start(logits, start)
    for b in range(2):
        for t in range(3):
            p, q = logits[b, t].softmax(-1).tolist(), start[b, t].double().softmax(-1).tolist()
            assert found[b, t].item() == pytest.approx(
                sum(a * math.log(a / c) for a, c in zip(p, q, strict=True))
            )
    assert not torch.allclose(found, kl_from_start(start, logits))


def test_the_distance_is_that_of_all_weights():
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    flat = [torch.cat([p.detach().flatten() for p in model.parameters()]).double() for model in (one, two)]
    assert parameter_distance(one, two) == pytest.approx((flat[0] - flat[1]).norm().item())
    assert parameter_distance(one, one) == 0.0


def test_other_models_are_refused():
    with pytest.raises(
        MismatchError, match="`start` must have the parameters of `model`. Found 1 .* 'weight'"
    ):
        parameter_distance(nn.Linear(3, 2), nn.Linear(4, 2))
    with pytest.raises(MismatchError, match="'bias'"):
        parameter_distance(nn.Linear(3, 2), nn.Linear(3, 2, bias=False))
    with pytest.raises(MismatchError, match="`start_logits` must have the shape"):
        kl_from_start(torch.zeros(2, 3), torch.zeros(2, 4))
