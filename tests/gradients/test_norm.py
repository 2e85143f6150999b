from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.gradients import clip_, squared_norm


def draw(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in ((3, 4), (5,), ())]


def flat(tensors):
    return torch.cat([t.double().flatten() for t in tensors])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_squared_norm_is_that_of_the_flat_vector(dtype):
    tensors = draw(0, dtype)
    assert squared_norm(tensors).dtype == torch.float64
    assert squared_norm(tensors).item() == pytest.approx(flat(tensors).square().sum().item(), rel=1e-6)


def test_a_long_bf16_vector_does_not_saturate():
    """Summed in bf16, ones stop counting at 256."""
    assert squared_norm([torch.ones(2**20, dtype=torch.bfloat16)]).item() == 2**20


@given(st.integers(0, 10**6), st.floats(min_value=1e-3, max_value=1e3))
def test_clipping_equals_torch_s(seed, longest):
    found, expected = draw(seed), [torch.nn.Parameter(torch.zeros_like(t)) for t in draw(seed)]
    for parameter, gradient in zip(expected, draw(seed), strict=True):
        parameter.grad = gradient
    torch.nn.utils.clip_grad_norm_(expected, longest)
    clip_(found, longest)
    # torch divides by the norm plus 1e-6
    torch.testing.assert_close(flat(found), flat([p.grad for p in expected]), rtol=3e-6, atol=0)
    assert flat(found).norm() <= longest * (1 + 1e-12)


def test_a_short_gradient_keeps_its_bits():
    found = draw(1, torch.float32)
    clip_(found, 1e6)
    assert all(torch.equal(a, b) for a, b in zip(found, draw(1, torch.float32), strict=True))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_broken_gradient_stays_as_it_is(value):
    """The strategy is to see that it is not finite, and to skip it."""
    found = [torch.tensor([1.0, value]), torch.tensor([2.0])]
    clip_(found, 1.0)
    assert found[0][0] == 1.0
    assert found[1][0] == 2.0
    assert not torch.isfinite(found[0][1])


def test_a_zero_gradient_stays_zero():
    found = [torch.zeros(3)]
    clip_(found, 1.0)
    assert found[0].tolist() == [0.0, 0.0, 0.0]
