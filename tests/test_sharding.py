"""On one process; tests/distributed/test_sharding.py has the sharded ones."""

from __future__ import annotations

import torch
from torch import nn

from unlearnkit.sharding import (
    first_element,
    local_part,
    replicas,
    reshard,
    scale_,
    sharded_modules,
    sum_over_parts,
)


def test_a_whole_tensor_is_its_own_part() -> None:
    tensor = torch.zeros(3)
    assert local_part(tensor) is tensor
    assert replicas(tensor) is None
    assert first_element(tensor) == 0


def test_scale_keeps_types_and_works_in_place() -> None:
    tensors = [torch.ones(2), torch.ones(3, dtype=torch.bfloat16), torch.ones((), dtype=torch.float64)]
    places = [t.data_ptr() for t in tensors]
    scale_(tensors, torch.tensor(0.5, dtype=torch.float64))
    assert [t.dtype for t in tensors] == [torch.float32, torch.bfloat16, torch.float64]
    assert [t.data_ptr() for t in tensors] == places
    assert all(bool((t == 0.5).all()) for t in tensors)


def test_a_model_that_is_whole_has_nothing_to_reshard() -> None:
    assert sharded_modules(nn.Sequential(nn.Linear(2, 2))) == []
    reshard([])


def test_parts_of_whole_tensors_are_summed_with_their_gradient() -> None:
    """Of sharded ones: NLLAndDistance and Replay in tests/distributed/test_diffusion.py."""
    weights = [torch.ones(2, requires_grad=True), torch.ones(1, 3, requires_grad=True)]
    total = sum_over_parts([(one**2).sum() for one in weights], list(weights))
    total.backward()
    assert total.item() == 5.0
    assert weights[1].grad is not None and weights[1].grad.tolist() == [[2.0] * 3]
