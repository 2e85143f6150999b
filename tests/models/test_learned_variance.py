"""The variational bound against its formulas written one number at a time."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.models.learned_variance import variational_bound
from unlearnkit.models.noise_schedule import build_scheduler, with_noise

KEPT = build_scheduler(100).alphas_cumprod.double()


def case(steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(steps)
    start = (torch.randint(0, 256, (n, 2, 2, 2), generator=generator).double() / 127.5 - 1).clamp(-1, 1)
    start[0, 0, 0] = torch.tensor([-1.0, 1.0])
    true, noise, shares = (
        torch.randn(start.shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    noise = true + 0.1 * noise
    return start, with_noise(start, true, steps, KEPT), steps, noise, shares.tanh()


def normal_below(value):
    return 0.5 * math.erfc(-value / math.sqrt(2))


def one_value(x0, xt, t, eps, share):
    """One value's term in bits, as Nichol and Dhariwal (2021) and Ho et al. (2020, eq. 6, 7 and 13) write it."""
    abar, before = float(KEPT[t]), float(KEPT[t - 1]) if t else 1.0
    alpha = abar / before
    beta = 1 - alpha

    def posterior_variance(s):
        a, b = float(KEPT[s]), float(KEPT[s - 1])
        return (1 - b) / (1 - a) * (1 - a / b)

    lower = posterior_variance(t or 1)

    def mean(image):
        return (
            math.sqrt(before) * beta / (1 - abar) * image + math.sqrt(alpha) * (1 - before) / (1 - abar) * xt
        )

    v = (share + 1) / 2
    variance = math.exp(v * math.log(beta) + (1 - v) * math.log(lower))
    m = mean((xt - math.sqrt(1 - abar) * eps) / math.sqrt(abar))
    if t == 0:
        high = 1.0 if x0 > 0.999 else normal_below((x0 + 1 / 255 - m) / math.sqrt(variance))
        low = 0.0 if x0 < -0.999 else normal_below((x0 - 1 / 255 - m) / math.sqrt(variance))
        return -math.log(max(high - low, 1e-12)) / math.log(2)
    kl = 0.5 * (math.log(variance / lower) - 1 + lower / variance + (mean(x0) - m) ** 2 / variance)
    return kl / math.log(2)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_sum_of_its_values_terms(seed):
    steps = torch.tensor([0, 1, 2, 50, 99])
    given = case(steps, seed)
    found = variational_bound(*given, KEPT)
    for row, t in enumerate(steps.tolist()):
        parts = zip(
            *(part[row].flatten().tolist() for part in (given[0], given[1], given[3], given[4])), strict=True
        )
        expected = sum(one_value(x0, xt, t, eps, share) for x0, xt, eps, share in parts)
        assert float(found[row]) == pytest.approx(expected, rel=1e-8), t


def test_the_true_posterior_costs_nothing():
    steps = torch.tensor([1, 50, 99])
    start, noised, _, _, _ = case(steps)
    kept = KEPT[steps][:, None, None, None]
    true = (noised - kept.sqrt() * start) / (1 - kept).sqrt()
    found = variational_bound(start, noised, steps, true, -torch.ones_like(start), KEPT)
    torch.testing.assert_close(found, torch.zeros(3, dtype=torch.float64), atol=1e-10, rtol=0)


def test_it_moves_the_variance_and_not_the_mean():
    start, noised, steps, noise, shares = case(torch.tensor([0, 3, 70]))
    noise.requires_grad_()
    shares.requires_grad_()
    variational_bound(start, noised, steps, noise, shares, KEPT).sum().backward()
    assert noise.grad is None and shares.grad.abs().min() > 0
