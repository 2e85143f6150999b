"""CAGrad against algorithm 1 with its one-dimensional problem solved by golden sections, and by its definition."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import gram_matrix
from unlearnkit.strategies import MGDA, CAGrad, FixedWeights
from unlearnkit.testing.given import given_round
from unlearnkit.testing.properties import (
    as_rule,
    assert_edge_cases,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_same_direction,
    assert_scaling,
    assert_symmetric,
    mild_pairs,
)


def algorithm_1(g_r, g_f, c):
    """d = g_0 + c |g_0| g_w / |g_w|, w minimising g_w.g_0 + c |g_0| |g_w|."""
    mean = (g_r + g_f) / 2
    radius = c * mean.norm()

    def mixed(x):
        return x * g_r + (1 - x) * g_f

    def value(x):
        return (mixed(x) @ mean + radius * mixed(x).norm()).item()

    low, high, ratio = 0.0, 1.0, (math.sqrt(5) - 1) / 2
    for _ in range(80):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if value(left) < value(right) else (left, high)
    best = min((0.0, 1.0, (low + high) / 2), key=value)
    return mean + radius * mixed(best) / mixed(best).norm()


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 2.0])
def test_it_is_algorithm_1(c):
    """To the accuracy of a search by values, half of the digits. TorchJD's solver is not installed with it."""
    for g_r, g_f in mild_pairs():
        expected = algorithm_1(g_r, g_f, c)
        assert (as_rule(CAGrad(c))(g_r, g_f) - expected).norm() <= 1e-6 * expected.norm()


def test_no_direction_in_the_ball_is_better_for_the_worse_side():
    generator = torch.Generator().manual_seed(0)
    for g_r, g_f in mild_pairs():
        d, mean = as_rule(CAGrad(0.5))(g_r, g_f), (g_r + g_f) / 2
        radius = 0.5 * mean.norm()
        assert (d - mean).norm() <= radius * (1 + 1e-12)
        noise = torch.randn(2000, 2, generator=generator, dtype=torch.float64) @ torch.stack([g_r, g_f])
        tried = mean + radius * noise / noise.norm(dim=1, keepdim=True)
        worst = torch.minimum(tried @ g_r, tried @ g_f).max()
        assert torch.minimum(d @ g_r, d @ g_f) >= worst - 1e-12


def test_limits():
    """Radius 0 is GDiff 0.5; a huge one is MGDA's direction."""
    for g_r, g_f in mild_pairs():
        torch.testing.assert_close(as_rule(CAGrad(0.0))(g_r, g_f), (g_r + g_f) / 2)
    assert_same_direction(as_rule(CAGrad(1e9)), as_rule(MGDA()), mild_pairs(), tolerance=1e-6)
    assert FixedWeights(0.5).c == 0.5


@pytest.mark.parametrize("c", [0.0, 0.5, 0.99, 1.0, 3.0])
def test_properties(c):
    rule = as_rule(CAGrad(c))
    assert_scaling(rule)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)


@pytest.mark.parametrize("c", [0.0, 0.5, 1.0, 3.0])
def test_edge_cases(c):
    assert_edge_cases(lambda: CAGrad(c))


def test_for_opposite_gradients_the_equation_itself_raises_the_retain_loss():
    """b = -3a, c = 1/2: the ball lies on the forget side, and its best point is -a/2 (TorchJD's too): skipped."""
    a = torch.tensor([1.0, 2.0]).double()
    assert as_rule(CAGrad(0.5))(a, -3 * a).tolist() == pytest.approx((-a / 2).tolist())
    assert given_round(CAGrad(0.5), a, -3 * a)[0].skipped == "the gradients cancel"
    assert given_round(CAGrad(0.5), -3 * a, a)[1].tolist() == pytest.approx((-a / 2).tolist())


def test_without_a_mean_there_is_no_ball():
    weights = CAGrad(0.5).weights(gram_matrix([torch.tensor([2.0])], [torch.tensor([-2.0])]), {})
    assert (weights.retain.item(), weights.forget.item()) == (0.5, 0.5)


@pytest.mark.parametrize("c", [-0.1, math.nan, math.inf])
def test_the_radius_is_finite_and_not_negative(c):
    with pytest.raises(
        ConfigurationError, match=r"`c` must be a finite number of 0 or above.*Found.*Use 0\.5"
    ):
        CAGrad(c)
