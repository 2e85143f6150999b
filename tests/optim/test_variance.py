"""Paper 002's lemma and theorem on the variance of decoupled and shared momentum, by simulation.

What the theorem says is less than it seems: it compares *bounds* (maximum variances over the steps), and it ignores
the correlation between the two sides' gradients. Each gradient ends up in the parameters with eta / (1 - alpha) under
both schemes; the shared momentum only lets it arrive sooner. So the gain is large over a few rounds and fades to a few
per cent over many. What the theorem leaves out can take it away in a few rounds too: noise that is opposite on the two
sides is cancelled by the shared momentum, and kept apart by the decoupled one.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

ALPHA, ETA, CHAINS = 0.9, 0.01, 4000


def simulate(
    rounds: int,
    decoupled: bool,
    seed: int,
    tau: float = 0.0,
    curvature: float = 0.0,
    between: float = 0.0,
) -> Tensor:
    """Return the parameters of each chain after each half-step, [2 * rounds, chains].

    Args:
        rounds: Rounds of a forget and a retain step with heavy-ball momentum (paper 002, eq. 1).
        decoupled: One momentum a side, or one for both.
        seed: Of the noise.
        tau: Correlation between a side's noise at different times.
        curvature: Of both losses, which then pull the parameters back.
        between: Correlation between the two sides' noise in the same round.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise() -> Tensor:
        return torch.randn(CHAINS, generator=generator, dtype=torch.float64)

    lasting = [noise(), noise()]
    theta, momenta, path = torch.zeros(CHAINS, dtype=torch.float64), [torch.zeros(CHAINS).double()] * 2, []
    for _ in range(rounds):
        first = noise()
        fresh = [first, between * first + (1 - between**2) ** 0.5 * noise()]
        for side in (0, 1):
            g = curvature * theta + tau**0.5 * lasting[side] + (1 - tau) ** 0.5 * fresh[side]
            which = side if decoupled else 0
            momenta[which] = ALPHA * momenta[which] + g
            theta = theta - ETA * momenta[which]
            path.append(theta)
    return torch.stack(path)


def log_ratio(rounds: int, **settings: Any) -> tuple[float, float]:
    """Return the logarithm of the largest variances' ratio, decoupled to shared, and its 99 % half-width."""
    largest = [
        simulate(rounds, decoupled, seed, **settings).var(1).max().log().item()
        for seed, decoupled in ((0, True), (1, False))
    ]
    # The logarithm of a sample variance of n normal numbers has the variance 2 / (n - 1).
    return largest[0] - largest[1], 2.58 * math.sqrt(2 * 2 / (CHAINS - 1))


def exact(rounds: int, decoupled: bool) -> float:
    """Return the variance after the last half-step for independent noise, from each gradient's weight."""
    reach = lambda later: (1 - ALPHA ** (later + 1)) / (1 - ALPHA)  # noqa: E731
    if decoupled:
        weights = [reach(rounds - 1 - t) for t in range(rounds)] * 2
    else:
        weights = [reach(2 * rounds - 1 - t) for t in range(2 * rounds)]
    return ETA**2 * sum(weight**2 for weight in weights)


@pytest.mark.parametrize("rounds", [1, 5, 50, 400])
@pytest.mark.parametrize("decoupled", [True, False])
def test_the_simulation_has_the_variance_that_can_be_summed(rounds: int, decoupled: bool) -> None:
    found = simulate(rounds, decoupled, seed=3)[-1].var().log().item()
    assert abs(found - math.log(exact(rounds, decoupled))) < 3.3 * math.sqrt(2 / (CHAINS - 1))


@pytest.mark.parametrize("tau", [0.0, 0.3])
@pytest.mark.parametrize("curvature", [0.0, 1.0])
def test_over_a_few_rounds_decoupled_momentum_varies_much_less(tau: float, curvature: float) -> None:
    for rounds, bound in ((1, 0.55), (5, 0.55)):
        found, half = log_ratio(rounds, tau=tau, curvature=curvature)
        assert found + half < math.log(bound)


def test_over_many_rounds_nearly_as_much() -> None:
    found, half = log_ratio(200)
    assert found - half < math.log(exact(200, True) / exact(200, False)) < found + half
    assert 0.9 < exact(200, True) / exact(200, False) < 0.97
    assert exact(2000, True) / exact(2000, False) > 0.99


def exact_with_opposite_noise(rounds: int, decoupled: bool, rho: float) -> float:
    """Return the largest variance up to any half-step, where the two gradients of a round correlate by ``rho``."""
    largest = 0.0
    for half_steps in range(1, 2 * rounds + 1):
        weights = []
        for t in range(half_steps):
            later = (half_steps - 1 - t) // 2 if decoupled else half_steps - 1 - t
            weights.append((1 - ALPHA ** (later + 1)) / (1 - ALPHA))
        pairs = zip(weights[::2], weights[1::2], strict=False)
        variance = sum(w**2 for w in weights) + 2 * rho * sum(a * b for a, b in pairs)
        largest = max(largest, ETA**2 * variance)
    return largest


def test_opposite_noise_in_a_round_is_what_the_theorem_leaves_out() -> None:
    """Over five rounds the gain is 60 % for independent noise, and next to nothing for opposite noise."""

    def gain(rounds: int, rho: float) -> float:
        decoupled, shared = (exact_with_opposite_noise(rounds, kind, rho) for kind in (True, False))
        return decoupled / shared

    assert gain(5, 0.0) == pytest.approx(exact(5, True) / exact(5, False))
    assert gain(5, 0.0) < 0.45
    assert 0.9 < gain(5, -0.99) < 1.0
    assert 0.95 < gain(200, -0.99) < 1.0


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_lemma_a_gradients_variance_is_at_most_the_squared_constant_times_the_parameters(
    spread: float,
) -> None:
    """For losses whose gradients are Lipschitz: log cosh (1), a logistic loss (1/4), a quadratic one (equality)."""
    theta = (
        spread * torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.3
    )
    for gradient, constant in ((torch.tanh, 1.0), (torch.sigmoid, 0.25)):
        assert gradient(theta).var() <= constant**2 * theta.var()
    assert (3 * theta).var().item() == pytest.approx(9 * theta.var().item())
