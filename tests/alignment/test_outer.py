"""Weights stay on the simplex, regularisers do what they are said to, and collapse is told."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.alignment.outer import (
    effective_size,
    penalty,
    projected,
    require_regulariser,
    reweighed,
    standardised,
    warn_of_collapse,
)
from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError, UnlearnKitWarning

KINDS = ("sqrt", "entropy", "l2", "none")


def gains(size=48, seed=0, scale=8.0):
    generator = torch.Generator().manual_seed(seed)
    return 40 + scale * torch.randn(size, generator=generator, dtype=torch.float64)


def even(size=48):
    return torch.full((size,), 1 / size, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e12])
def test_weights_stay_on_the_simplex(kind, scale):
    """Also for gains that would overflow when exponentiated."""
    start = even()
    start[:8] = 0.0
    start /= start.sum()
    found = reweighed(gains(scale=scale), start, kind, 0.5, 3e-2, 200)
    assert found.dtype == torch.float64
    assert bool(found.isfinite().all())
    assert found.min() >= 0
    assert found.sum().item() == pytest.approx(1.0, abs=1e-12)
    if kind in ("sqrt", "none"):
        assert found[:8].tolist() == [0.0] * 8


@pytest.mark.parametrize("kind", ["entropy", "l2"])
def test_closed_forms_are_the_optimum(kind):
    """No small exchange of weight between two samples lowers -a.w + beta Omega(w)."""
    a, beta = standardised(gains(8)), 0.7
    best = reweighed(a, even(8), kind, beta)

    def objective(w):
        return float(-(a * w).sum() + beta * penalty(w, kind))

    for i in range(8):
        for j in range(8):
            moved = best.clone()
            step = min(1e-4, float(best[j]))
            moved[i] += step
            moved[j] -= step
            assert objective(moved) >= objective(best) - 1e-12


def test_a_mirror_step_is_the_paper_s_equation():
    a, start = gains(5), torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15], dtype=torch.float64)
    slope = -a + 0.5 / (2 * (start + 1e-8).sqrt())
    want = start * torch.exp(-3e-2 * slope)
    torch.testing.assert_close(reweighed(a, start, "sqrt", 0.5, 3e-2, 1), want / want.sum())
    assert torch.equal(reweighed(a, start, "none", steps=0), torch.softmax(start.log(), 0))


def test_the_rate_falls_along_half_a_cosine():
    a, start = gains(5), even(5)
    want = start * torch.exp(3e-2 * a * (1.0 + 0.75 + 0.25))
    torch.testing.assert_close(reweighed(a, start, "none", rate=3e-2, steps=3), want / want.sum())


def test_the_root_collapses_and_entropy_does_not():
    """With theta fixed the root's optimum is a corner of the simplex, which the paper's few steps do not reach."""
    a = gains()
    sizes = {
        steps: effective_size(reweighed(a, even(), "sqrt", 0.5, 3e-2, steps)) for steps in (20, 200, 2000)
    }
    assert sizes[20] > sizes[200] > 1.0
    assert sizes[2000] == pytest.approx(1.0, abs=0.01)
    assert effective_size(reweighed(standardised(a), even(), "entropy", 1.0)) > 10
    assert effective_size(reweighed(0 * a, even(), "entropy", 1.0)) == pytest.approx(48)


def test_the_paper_s_penalty_is_concave():
    """It calls sum sqrt(w) strictly convex; its value at a corner is 1, at the centre sqrt(n)."""
    corner, centre = torch.tensor([1.0, 0, 0, 0]), torch.full((4,), 0.25)
    assert penalty(corner, "sqrt") == 1.0
    assert penalty(centre, "sqrt") == 2.0
    half = penalty((corner + centre) / 2, "sqrt")
    assert half > (penalty(corner, "sqrt") + penalty(centre, "sqrt")) / 2
    for kind in ("entropy", "l2"):
        assert penalty((corner + centre) / 2, kind) < (penalty(corner, kind) + penalty(centre, kind)) / 2
    assert penalty(centre, "none") == 0.0


def test_projection_is_the_nearest_point():
    point = torch.tensor([0.9, 0.8, -0.5, 0.1], dtype=torch.float64)
    best = projected(point)
    assert best.sum().item() == pytest.approx(1.0)
    drawn = -torch.rand((2000, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64).log()
    others = drawn / drawn.sum(1, keepdim=True)
    assert (others - point).norm(dim=1).min() >= (best - point).norm() - 1e-6


def test_standardised_gains_forget_scale_and_place():
    a = gains()
    torch.testing.assert_close(standardised(3 * a - 5), standardised(a))
    assert standardised(a).mean().abs() < 1e-12
    assert standardised(a[:1]).tolist() == [0.0]


def test_collapse_is_told():
    with pytest.warns(UnlearnKitWarning, match=r"2 selected samples are worth 1\.02.*regulariser='entropy'"):
        assert warn_of_collapse(torch.tensor([0.99, 0.01])) == pytest.approx(1.02, abs=0.01)


def test_one_selected_sample_is_no_collapse(recwarn):
    assert warn_of_collapse(torch.tensor([1.0, 0.0])) == 1.0
    assert not recwarn.list


def test_bad_arguments_are_refused():
    with pytest.raises(UnknownNameError, match="`regulariser` must be one of: entropy, l2, none, sqrt"):
        require_regulariser("l1")
    for name in ("strength", "rate"):
        with pytest.raises(ConfigurationError, match=f"`{name}` must be above 0. Found 0"):
            reweighed(gains(3), even(3), **{name: 0.0})
    with pytest.raises(ConfigurationError, match="`steps` must be 0 or above. Found -1"):
        reweighed(gains(3), even(3), steps=-1)
    for name in ("gains", "weights"):
        values = {"gains": gains(3), "weights": even(3)}
        values[name][1] = torch.nan
        with pytest.raises(NonFiniteError, match=f"`{name}` must be finite. Found nan"):
            reweighed(**values)
