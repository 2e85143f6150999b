"""The summed gradient: parts add up, unused parameters get zeros, modes and gradients stay."""

from __future__ import annotations

import torch
from torch import nn

from unlearnkit.alignment.gradient import summed_gradient


def test_parts_add_up_and_what_is_not_used_is_zero() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Dropout(0.5), nn.Linear(3, 1))
    model[2].bias.requires_grad_(False)
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = summed_gradient(model, [lambda row=row: model[1](model[0](row)).sum() for row in inputs])
    assert [tuple(one.shape) for one in found] == [(1, 2), (1, 3)]
    assert found[0].tolist() == [[4.0, 6.0]], "dropout is off"
    assert not found[1].any()
    assert model[1].training
    assert all(parameter.grad is None for parameter in model.parameters())
