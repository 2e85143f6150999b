"""Properties of a rule that combines two gradients, as asserts for tests and exercises.

A rule is a function of the two gradients, flat vectors, that returns the direction to descend:
``d = rule(g_r, g_f)``, both sides minimised. ``as_rule`` turns a ``GramStrategy`` into one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from unlearnkit.gradients import gram_matrix
from unlearnkit.strategies import GramStrategy
from unlearnkit.testing.given import given_round

Rule = Callable[[Tensor, Tensor], Tensor]
"""Maps the retain and the forget gradient, [n] each, to the direction d, [n]."""

Pair = tuple[Tensor, Tensor]
"""A retain and a forget gradient, [n] each, float64."""


def as_rule(strategy: GramStrategy) -> Rule:
    """Return what a Gram-level strategy makes of two gradients (before any step is skipped).

    >>> from unlearnkit.strategies import NGDiff
    >>> as_rule(NGDiff())(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0])).tolist()
    [1.0, 1.0]
    """

    def rule(g_r: Tensor, g_f: Tensor) -> Tensor:
        gram = gram_matrix([g_r], [g_f])
        return strategy.combine([g_r], [g_f.clone()], strategy.weigh(gram, {}))[0]

    return rule


def hard_pairs(size: int = 8, seed: int = 0) -> list[Pair]:
    """Return seeded pairs of gradients that break careless formulas.

    Random ones, nearly parallel and nearly opposite ones, orthogonal ones, lengths ten decades apart,
    components that are zero, and one vanished gradient.

    Args:
        size: Number of components n, at least 4.
        seed: Seed of the draws.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    pairs: list[Pair] = []
    for decades in (-10, -5, -1, 0, 1, 5, 10):
        length = 10.0**decades
        a, b = draw(), draw()
        pairs += [(a, length * b), (a, length * (a + 1e-6 * b)), (a, -length * (a + 1e-2 * b))]
        left, right = draw(), draw()
        left[: size // 2] = 0.0
        right[size // 2 :] = 0.0
        pairs += [(left, length * right), (left, length * draw())]
    pairs += [
        (draw(), torch.zeros(size, dtype=torch.float64)),
        (torch.zeros(size, dtype=torch.float64), draw()),
    ]
    return pairs


def mild_pairs(count: int = 25, size: int = 12, seed: int = 0) -> list[Pair]:
    """Return seeded random pairs whose lengths are within a factor of 10, for oracles that solve iteratively.

    Args:
        count: Number of pairs.
        size: Number of components n.
        seed: Seed of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in range(count):
        g_r, g_f = torch.randn(2, size, generator=generator, dtype=torch.float64)
        decade = 2 * torch.rand((), generator=generator).item() - 1
        pairs.append((g_r, g_f * 10**decade * (g_r.norm() / g_f.norm())))
    return pairs


def assert_edge_cases(make: Callable[[], GramStrategy], sizes: Sequence[int] = (3, 1000, 300_000)) -> None:
    """Assert what every Gram-level strategy owes where gradients are degenerate, in fp64, fp32 and bf16.

    Exactly opposite gradients never let the retain loss rise, and with equal lengths or Adam no rounding
    noise is followed; both vanishing skips; one vanishing, or held, leaves a descent on the other side.

    Args:
        make: Makes a fresh strategy.
        sizes: Numbers of components n.
    """
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for size in sizes:
            g = torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype)
            for factor in (1.0, 2.0, 3.0, 0.1, 7e4):
                for optimizer in (torch.optim.SGD, torch.optim.AdamW):
                    report, moved = given_round(make(), g, -factor * g, dtype, optimizer)
                    effect = g.double().dot(moved.double()).item()
                    noise = moved.double().norm().item() <= 1e-3 * g.double().norm().item()
                    if report.skipped is None:
                        assert effect > 0 and not noise, f"b = -{factor} a: a step along {effect:.3g}"
                    else:
                        assert report.skipped == "the gradients cancel", f"b = -{factor} a: {report.skipped}"
                        assert moved.abs().max() == 0
            nothing = torch.zeros_like(g)
            report, moved = given_round(make(), nothing, nothing, dtype)
            assert report.skipped == "the gradients vanish", f"without gradients: {report.skipped}"
            for pair, held in (
                ((g, nothing), ()),
                ((nothing, g), ()),
                ((g, g), ("forget",)),
                ((g, g), ("retain",)),
            ):
                report, moved = given_round(make(), *pair, dtype, held=held)
                assert report.skipped is None, f"one side alone is skipped: {report.skipped}"
                cosine = torch.cosine_similarity(g.double(), moved.double(), dim=0).item()
                assert cosine > 0.99, f"one side alone is not descended on: cosine {cosine:.3g}"
                assert moved.double().norm() > 1e-3, "one side alone hardly moves anything"


def assert_non_conflicting(rule: Rule, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9) -> None:
    """Assert that d makes neither loss rise to first order: ``g_r . d >= 0`` and ``g_f . d >= 0``.

    Paper 001, eq. (5) with both sides minimised; Lemma 4 says that it holds for NGDiff.

    Args:
        rule: What is tested.
        pairs: Gradients to try; default ``hard_pairs()``.
        tolerance: Rounding allowed, in units of ``|g| |d|``.

    >>> from unlearnkit.strategies import NGDiff
    >>> assert_non_conflicting(as_rule(NGDiff()))
    >>> opposed = [(torch.tensor([1.0, 0.0]), torch.tensor([-3.0, 0.5]))]
    >>> assert_non_conflicting(lambda g_r, g_f: g_r + g_f, opposed)
    Traceback (most recent call last):
    AssertionError: the retain loss rises to first order: g_r . d = -2 < 0 ...
    """
    for g_r, g_f in _pairs(pairs):
        d = _direction(rule, g_r, g_f)
        for side, gradient in (("retain", g_r), ("forget", g_f)):
            effect = gradient.dot(d).item()
            room = tolerance * max(1.0, d.norm().item()) * gradient.norm().item()
            assert effect >= -room, (
                f"the {side} loss rises to first order: g_{side[0]} . d = {effect:.3g} < 0 "
                f"for |g_r| = {g_r.norm().item():.3g}, |g_f| = {g_f.norm().item():.3g}"
            )


def assert_scaling(
    rule: Rule, degree: float = 1.0, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9
) -> None:
    """Assert ``d(s g_r, s g_f) = s**degree d(g_r, g_f)`` for lengths s over six decades.

    Args:
        rule: What is tested.
        degree: 1 for rules linear in the gradients' common length, 0 for normalized ones.
        pairs: Gradients to try; default ``hard_pairs()``.
        tolerance: Relative error allowed.
    """
    for g_r, g_f in _pairs(pairs):
        d = _direction(rule, g_r, g_f)
        for s in (1e-3, 0.5, 7.0, 1e3):
            _assert_equal(_direction(rule, s * g_r, s * g_f), s**degree * d, tolerance, f"scaling by {s}")


def assert_ignores_lengths(rule: Rule, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9) -> None:
    """Assert that d depends on the two directions only: ``d(s g_r, t g_f) = d(g_r, g_f)`` for s, t > 0."""
    for g_r, g_f in _pairs(pairs):
        d = _direction(rule, g_r, g_f)
        for s, t in ((10.0, 1.0), (1.0, 0.1), (0.3, 3.0)):
            _assert_equal(_direction(rule, s * g_r, t * g_f), d, tolerance, f"lengths times {s} and {t}")


def assert_permutation_invariant(
    rule: Rule, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9, seed: int = 0
) -> None:
    """Assert that the order of the parameters does not matter: ``d(P g_r, P g_f) = P d(g_r, g_f)``."""
    generator = torch.Generator().manual_seed(seed)
    for g_r, g_f in _pairs(pairs):
        order = torch.randperm(len(g_r), generator=generator)
        d = _direction(rule, g_r, g_f)
        _assert_equal(_direction(rule, g_r[order], g_f[order]), d[order], tolerance, "a permutation")


def assert_rotation_invariant(
    rule: Rule, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9, seed: int = 0
) -> None:
    """Assert ``d(Q g_r, Q g_f) = Q d(g_r, g_f)``, which every rule that sees the Gram matrix alone fulfils."""
    generator = torch.Generator().manual_seed(seed)
    for g_r, g_f in _pairs(pairs):
        noise = torch.randn(len(g_r), len(g_r), generator=generator, dtype=torch.float64)
        q = torch.linalg.qr(noise).Q
        d = _direction(rule, g_r, g_f)
        _assert_equal(_direction(rule, q @ g_r, q @ g_f), q @ d, tolerance, "a rotation")


def assert_symmetric(rule: Rule, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9) -> None:
    """Assert that the rule treats both sides alike: ``d(g_r, g_f) = d(g_f, g_r)``."""
    for g_r, g_f in _pairs(pairs):
        _assert_equal(
            _direction(rule, g_f, g_r), _direction(rule, g_r, g_f), tolerance, "exchanging the sides"
        )


def assert_bounded(
    rule: Rule, bound: float, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9
) -> None:
    """Assert ``|d| <= bound`` however long the two gradients are."""
    for g_r, g_f in _pairs(pairs):
        length = _direction(rule, g_r, g_f).norm().item()
        assert length <= bound * (1.0 + tolerance), f"the direction is {length:.3g} long, above {bound}"


def assert_same_direction(
    rule: Rule, other: Rule, pairs: Iterable[Pair] | None = None, tolerance: float = 1e-9
) -> None:
    """Assert that two rules agree up to a positive factor."""
    for g_r, g_f in _pairs(pairs):
        d, e = _direction(rule, g_r, g_f), _direction(other, g_r, g_f)
        _assert_equal(d / d.norm(), e / e.norm(), tolerance, "another rule")


def _pairs(pairs: Iterable[Pair] | None) -> Sequence[Pair]:
    return hard_pairs() if pairs is None else list(pairs)


def _direction(rule: Rule, g_r: Tensor, g_f: Tensor) -> Tensor:
    """Apply the rule to copies, and refuse what is no finite vector of the right shape."""
    d = rule(g_r.clone(), g_f.clone())
    assert d.shape == g_r.shape, f"the direction must have the gradients' shape {g_r.shape}, found {d.shape}"
    assert bool(torch.isfinite(d).all()), (
        f"the direction is not finite for |g_r| = {g_r.norm().item():.3g}, |g_f| = {g_f.norm().item():.3g}"
    )
    return d


def _assert_equal(found: Tensor, expected: Tensor, tolerance: float, under: str) -> None:
    error = (found - expected).norm().item()
    length = max(found.norm().item(), expected.norm().item())
    assert error <= tolerance * max(length, 1e-300), (
        f"the direction changes under {under}: relative error {error / length:.3g}, allowed {tolerance:.3g}"
    )
