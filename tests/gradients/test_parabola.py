"""The fit is exact on parabolas, and refuses what is none."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.gradients.parabola import fit_parabola, multiplier, noise_floor

NAN, INF = math.nan, math.inf


@given(
    slope=st.floats(1e-3, 1e3),
    curvature=st.floats(1e-3, 1e3),
    centre=st.floats(-10.0, 10.0),
    reach=st.floats(1e-2, 1e2),
)
def test_any_parabola_is_recovered_in_units_of_the_displacement(slope, curvature, centre, reach):
    def loss(r):
        return centre - slope * r + curvature * r * r / 2

    fit = fit_parabola(loss(-reach), centre, loss(reach), reach=reach)
    rounding = 1e-15 * (abs(centre) + slope * reach + curvature * reach**2)
    assert fit.slope == pytest.approx(slope, rel=1e-9, abs=4 * rounding / reach)
    assert fit.curvature == pytest.approx(curvature, rel=1e-9, abs=8 * rounding / reach**2)
    if fit.curvature > 0.9 * curvature:
        assert fit.refused is None
        assert fit.minimiser == fit.slope / fit.curvature
        assert fit.predict(fit.minimiser) <= min(fit.predict(0.0), fit.predict(reach)) + 1e-9 * abs(centre)


@pytest.mark.parametrize(
    ("minus", "centre", "plus", "reason"),
    [
        (NAN, 1.0, 0.9, "not finite"),
        (1.0, NAN, 0.9, "not finite"),
        (1.0, 1.0, INF, "not finite"),
        (0.5, 1.0, 1.7, "slope"),  # rises: pure ascent
        (1.0, 1.0, 1.7, "slope"),
        (0.2, 1.0, 0.1, "curvature"),  # falls to both sides, more ahead
        (2.0, 1.0, 0.0, "noise"),  # straight: no curvature to be seen
        (1.0 + 1e-6, 1.0, 1.0 - 1e-6, "noise"),  # everything below the noise
        (1.1, 1.0, 0.9 + 4e-6, "noise"),  # a slope, but the bend is rounding
        (1.1, 1.0, 0.9 - 4e-6, "noise"),
    ],
)
def test_refusals_have_a_reason_and_no_minimiser(minus, centre, plus, reason):
    fit = fit_parabola(minus, centre, plus, noise=5e-6)
    assert fit.refused == reason
    assert math.isnan(fit.minimiser)


def test_noise_is_that_of_the_difference_and_not_scaled_by_the_reach():
    assert fit_parabola(4.0, 1.0, 0.0, reach=1e-3, noise=0.1).refused is None
    assert fit_parabola(4.0, 1.0, 0.0, reach=1e3, noise=3.0).refused == "noise"


def test_noise_floor_by_type_and_count():
    assert noise_floor(-2.0) == noise_floor(2.0) == pytest.approx(2 * 50 * 2**-23)
    assert noise_floor(1.0, torch.float64) == noise_floor(1.0)  # losses are reduced from fp32 logits
    few, many = (noise_floor(1.0, torch.bfloat16, count) for count in (1, 10_000))
    assert few == pytest.approx(100 * many)


def test_both_presets():
    assert multiplier(7.0, "paper") == 7.0
    assert multiplier(7.0, "autogen") == pytest.approx(0.9 + 0.1 * 2.0)
    assert multiplier(1e-3, "autogen") == pytest.approx(0.9 + 0.1 * 0.5)
    assert multiplier(1.3, "autogen") == pytest.approx(0.9 + 0.1 * 1.3)
