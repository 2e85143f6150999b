"""The Gram matrix of two gradients, and their combination in place."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unlearnkit.gradients import Gram, Weights, combine_, gram, gram_matrix

SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0,)]


def gradients(seed: int, dtype=torch.float64, scale=1.0, shapes=SHAPES) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [(scale * torch.randn(s, generator=generator, dtype=torch.float64)).to(dtype) for s in shapes]


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.double().flatten() for t in tensors])


def weights(retain: float, forget: float) -> Weights:
    return Weights(torch.tensor(retain, dtype=torch.float64), torch.tensor(forget, dtype=torch.float64))


# ------------------------------------------------------------------------------------- Gram matrix


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 1e-6), (torch.float16, 1e-6)],
)
def test_products_are_those_of_the_flat_vectors(dtype, tolerance):
    g_r, g_f = gradients(0, dtype), gradients(1, dtype)
    found = gram_matrix(g_r, g_f)
    a, b = flat(g_r), flat(g_f)
    for value, expected in ((found.rr, a @ a), (found.ff, b @ b), (found.rf, a @ b)):
        assert value.dtype == torch.float64
        assert value.shape == ()
        assert value.item() == pytest.approx(expected.item(), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_blocks_of_low_precision_do_not_saturate(dtype):
    """Three million ones: their sum of squares is exact although bf16 itself stops counting at 256."""
    ones = [torch.ones(3_000_001, dtype=dtype)]
    found = gram_matrix(ones, [-2 * ones[0]])
    assert (found.rr.item(), found.ff.item(), found.rf.item()) == (3_000_001.0, 12_000_004.0, -6_000_002.0)


@pytest.mark.parametrize("block", [1, 2, 7, 12, 1000])
def test_the_size_of_blocks_does_not_matter(block, monkeypatch):
    g_r, g_f = gradients(2), gradients(3)
    expected = gram_matrix(g_r, g_f)
    monkeypatch.setattr(gram, "CPU_BLOCK", block)
    found = gram_matrix(g_r, g_f)
    for name in ("rr", "ff", "rf"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-13, atol=1e-13)


def test_gradients_in_any_memory_layout():
    g_r, g_f = torch.randn(6, 4).double(), torch.randn(6, 4).double()
    found = gram_matrix([g_r.t()], [g_f.t().contiguous()])
    torch.testing.assert_close(found.rf, (g_r * g_f).sum())


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="argument 2 is (shorter|longer)"):
        gram_matrix(gradients(0), gradients(1)[:-1])
    with pytest.raises(ValueError, match="argument 2 is (shorter|longer)"):
        combine_(gradients(0)[:-1], gradients(1), weights(1, 1))


def test_tensors_of_unequal_size_are_refused():
    with pytest.raises((ValueError, RuntimeError)):
        gram_matrix([torch.ones(3)], [torch.ones(2)])


def test_of_nothing_but_empty_tensors_is_zero():
    found = gram_matrix([torch.zeros(0)], [torch.zeros(0)])
    assert (found.rr.item(), found.ff.item(), found.rf.item()) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_shows(bad):
    g_r, g_f = gradients(0), gradients(1)
    g_f[2].fill_(bad)
    found = gram_matrix(g_r, g_f)
    assert math.isfinite(found.rr.item())
    assert not math.isfinite(found.ff.item())


# ------------------------------------------------------------------------ what follows from it


@given(
    a=st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    b=st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    w_r=st.floats(0, 10),
    w_f=st.floats(0, 10),
)
@settings(max_examples=200, deadline=None)
def test_effects_and_length_are_those_of_the_direction(a, b, w_r, w_f):
    g_r, g_f = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    w = weights(w_r, w_f)
    found = gram_matrix([g_r], [g_f])
    d = w_r * g_r + w_f * g_f
    room = 1e-12 * (1.0 + (w_r + w_f) * max(g_r.norm().item(), g_f.norm().item()) ** 2)
    assert found.retain_effect(w).item() == pytest.approx((g_r @ d).item(), abs=room)
    assert found.forget_effect(w).item() == pytest.approx((g_f @ d).item(), abs=room)
    # The square root loses half of the digits where the two terms cancel.
    reach = w_r * g_r.norm().item() + w_f * g_f.norm().item()
    assert found.norm(w).item() == pytest.approx(d.norm().item(), abs=1e-7 * reach + 1e-150)
    assert -1.0 <= found.cosine.item() <= 1.0


def test_cosine_of_known_angles():
    a = torch.tensor([1.0, 0.0])
    for degrees in (0, 30, 60, 90, 135, 180):
        angle = math.radians(degrees)
        b = 1e-4 * torch.tensor([math.cos(angle), math.sin(angle)])
        assert gram_matrix([a], [b]).cosine.item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_cosine_with_a_vanished_gradient_is_zero():
    a, zero = torch.tensor([1.0, 2.0]), torch.zeros(2)
    assert gram_matrix([a], [zero]).cosine.item() == 0.0
    assert gram_matrix([zero], [zero]).cosine.item() == 0.0


# -------------------------------------------------------------------------------- combination


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_combination_is_in_the_memory_of_forget_and_leaves_retain(dtype):
    g_r, g_f = gradients(4, dtype), gradients(5, dtype)
    kept = [g.clone() for g in g_r]
    expected = 0.25 * flat(g_r) - 3.0 * flat(g_f)
    places = [g.data_ptr() for g in g_f]
    found = combine_(g_r, g_f, weights(0.25, -3.0))
    assert found is g_f
    assert [g.data_ptr() for g in found] == places
    assert all(torch.equal(a, b) for a, b in zip(g_r, kept, strict=True))
    tolerance = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(flat(found), expected, rtol=tolerance, atol=tolerance)


def test_a_weight_of_zero_silences_a_side():
    g_r, g_f = gradients(6), gradients(7)
    expected = flat(g_f)
    assert torch.equal(flat(combine_(g_r, [g.clone() for g in g_f], weights(0.0, 1.0))), expected)
    assert torch.equal(flat(combine_(g_r, g_f, weights(1.0, 0.0))), flat(g_r))


def test_combination_builds_no_graph():
    parameter = nn.Parameter(torch.ones(3))
    found = combine_([torch.ones(3)], [torch.ones(3)], Weights(parameter[0], parameter[1]))
    assert not found[0].requires_grad


def test_gram_is_a_value():
    one = Gram(*torch.ones(3, dtype=torch.float64))
    with pytest.raises(AttributeError):
        one.rr = torch.zeros(())
