"""The search ends where the loss is a parabola, wherever it starts."""

import math

import pytest

from unlearnkit.gradients.probe_search import ATTEMPTS, search_reach

NOISE = 6e-6


def counted(loss):
    calls = []

    def evaluate(r):
        calls.append(r)
        return loss(r)

    return evaluate, calls


@pytest.mark.parametrize("reach", [1e-7, 1e-4, 0.3, 1.0, 10.0, 1e4, 1e7])
def test_a_parabola_is_found_from_any_start(reach):
    evaluate, calls = counted(lambda r: 2.0 - 6.0 * r + r * r)
    found = search_reach(evaluate, 2.0, reach=reach, noise=NOISE)
    assert found.multiple == pytest.approx(3.0, rel=1e-3)
    assert found.parabola.refused is None
    assert len(calls) <= 3 * ATTEMPTS


def rounded(loss, digits=7):
    """fp32: seven digits."""
    return lambda r: float(f"{loss(r):.{digits}g}") if math.isfinite(loss(r)) else loss(r)


@pytest.mark.parametrize("reach", [1e-5, 1e-3, 1e-1, 10.0, 1e4])
def test_a_loss_that_is_a_parabola_only_nearby(reach):
    """Beyond |r| = 5 the loss is flat and high, as behind a collapse; further still it overflows."""

    def loss(r):
        if abs(r) > 2e3:
            return math.inf
        return 1.0 - r + 0.5 * r * r if abs(r) < 5 else 11.0

    found = search_reach(rounded(loss), 1.0, reach=reach, noise=NOISE)
    assert found.multiple == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("reach", [1e-3, 1.0, 1e3])
def test_the_start_does_not_matter_for_a_loss_with_higher_orders(reach):
    def loss(r):
        return math.exp(min(r, 50.0)) - 3.0 * r + 5.0

    found = search_reach(rounded(loss), 6.0, reach=reach, noise=NOISE * 6)
    assert loss(found.multiple) < 6.0 - 0.5 * (6.0 - loss(math.log(3.0)))


def test_a_false_parabola_is_seen_through():
    """Far out, three points give G > 0 and h > 0, and a minimiser at which the loss is high."""

    def loss(r):
        return 1.0 - 0.1 * r + 0.05 * r * r if abs(r) < 2 else (40.0 if r > 0 else 60.0)

    found = search_reach(loss, 1.0, reach=30.0, noise=NOISE)
    assert found.parabola.refused is None
    assert found.multiple == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("reach", [1e-3, 1e-2, 1.0])
def test_a_concave_start_is_left_behind(reach):
    """An untrained model: the loss first falls faster and faster, and has its minimum further on."""

    def loss(r):
        return 3.0 - 2.0 * math.exp(-((r - 4.0) ** 2) / 8.0)

    found = search_reach(loss, loss(0.0), reach=reach, noise=NOISE)
    assert found.parabola.refused is None
    assert loss(found.multiple) < loss(0.0) - 0.2


def test_a_loss_that_only_rises_keeps_the_step_or_shortens_it():
    gentle = search_reach(lambda r: 1.0 + 0.1 * r + r * r, 1.0, reach=0.5, noise=NOISE, step=0.5)
    assert gentle.parabola.refused is not None
    assert gentle.multiple == 0.5
    steep = search_reach(lambda r: 1.0 + 50.0 * r + r * r, 1.0, reach=8.0, noise=NOISE, step=8.0)
    assert steep.parabola.refused is not None
    assert 0.0 < steep.multiple < 0.02 + 1e-9  # where the loss has at most doubled


def test_a_straight_fall_is_followed_as_far_as_it_was_seen():
    """No minimum within the search, then infinity: go where the loss was measured to fall."""

    def loss(r):
        return 10.0 - r + 1e-3 * r * r if r < 60 else math.inf

    found = search_reach(loss, 10.0, reach=1.0, noise=1e-5)
    assert loss(found.multiple) < 10.0 - 3.0


def test_nothing_finite_anywhere():
    found = search_reach(lambda r: math.nan, 1.0, reach=1.0, noise=NOISE)
    assert found.parabola.refused == "not finite"
    assert 0.0 < found.multiple < 1e-9 or found.multiple == 0.0
