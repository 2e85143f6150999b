"""Inverse-Hessian products for U2A: identity, diagonal, conjugate gradients; and how far a problem is from convex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from unlearnkit.errors import NonFiniteError

Curvature = Literal["identity", "diagonal", "cg"]
"""What stands for the Hessian of the inner problem: 2 lambda I (the paper's), its diagonal, or all of it."""

Product = Callable[[list[Tensor]], list[Tensor]]
"""Returns Hessian times vector."""


class Solved(NamedTuple):
    """What conjugate gradients found.

    Attributes:
        solution: x with ``H x = b``, or what was reached of it; one tensor per parameter.
        iterations: Products with H that were made.
        stopped: ``converged``, ``iterations``, or ``negative curvature``.
    """

    solution: list[Tensor]
    iterations: int
    stopped: Literal["converged", "iterations", "negative curvature"]


def dot(a: list[Tensor], b: list[Tensor]) -> float:
    """Return the inner product, float64.

    >>> dot([torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 4.0])])
    11.0
    """
    return float(torch.stack([(x.double() * y.double()).sum() for x, y in zip(a, b, strict=True)]).sum())


def conjugate_gradients(
    product: Product, b: list[Tensor], iterations: int = 10, tolerance: float = 1e-6
) -> Solved:
    """Solve ``H x = b`` for symmetric H, and stop where H curves down: there, more steps run away from the solution.

    Args:
        product: Multiplies by H.
        b: Right-hand side, one tensor per parameter.
        iterations: Most products with H.
        tolerance: Relative residual ``|H x - b| / |b|`` at which it stops.

    Raises:
        NonFiniteError: H times a vector is NaN or infinite.

    >>> found = conjugate_gradients(lambda v: [v[0] * torch.tensor([2.0, 4.0])], [torch.tensor([2.0, 2.0])])
    >>> [round(value, 4) for value in found.solution[0].tolist()], found.stopped
    ([1.0, 0.5], 'converged')
    """
    x = [torch.zeros_like(part) for part in b]
    residual = [part.clone() for part in b]
    p = [part.clone() for part in b]
    square = start = dot(residual, residual)
    for made in range(iterations):
        if square <= tolerance**2 * start:
            return Solved(x, made, "converged")
        along = product(p)
        curvature = dot(p, along)
        if curvature != curvature or abs(curvature) == float("inf"):
            raise NonFiniteError(
                f"`product` must return finite numbers. Found {curvature} after {made} iterations. The model has "
                "diverged: lower the learning rate, or raise lambda."
            )
        if curvature <= 0.0:
            return Solved(x if made else [part.clone() for part in b], made + 1, "negative curvature")
        step = square / curvature
        x = [part + step * q for part, q in zip(x, p, strict=True)]
        residual = [part - step * q for part, q in zip(residual, along, strict=True)]
        square, before = dot(residual, residual), square
        p = [r + (square / before) * q for r, q in zip(residual, p, strict=True)]
    return Solved(x, iterations, "converged" if square <= tolerance**2 * start else "iterations")


def diagonal(product: Product, like: list[Tensor], probes: int = 8, seed: int = 0) -> list[Tensor]:
    """Return an estimate of H's diagonal, the mean of ``z * (H z)`` over random signs z (Hutchinson).

    Args:
        product: Multiplies by H.
        like: Tensors of the parameters' shapes.
        probes: Number of random vectors; a diagonal H needs one.
        seed: Seed of the vectors.

    >>> diagonal(lambda v: [v[0] * torch.tensor([2.0, 4.0])], [torch.zeros(2)], probes=1)[0].tolist()
    [2.0, 4.0]
    """
    generator = torch.Generator().manual_seed(seed)
    total = [torch.zeros_like(part) for part in like]
    for _ in range(probes):
        signs = [(2.0 * torch.randint(0, 2, part.shape, generator=generator) - 1.0).to(part) for part in like]
        for into, z, found in zip(total, signs, product(signs), strict=True):
            into += z * found / probes
    return total


def extreme_curvature(product: Product, like: list[Tensor], iterations: int = 5, seed: int = 0) -> float:
    """Return the curvature of largest size that power iteration finds: a Rayleigh quotient, so never too large.

    Args:
        product: Multiplies by H.
        like: Tensors of the parameters' shapes.
        iterations: Products with H.
        seed: Seed of the first vector.

    >>> round(extreme_curvature(lambda v: [v[0] * torch.tensor([-5.0, 1.0])], [torch.zeros(2)]), 2)
    -5.0
    """
    generator = torch.Generator().manual_seed(seed)
    v = [torch.randn(part.shape, generator=generator).to(part) for part in like]
    found = 0.0
    for _ in range(iterations):
        size = dot(v, v) ** 0.5
        if size == 0.0:
            return 0.0
        v = [part / size for part in v]
        along = product(v)
        found = dot(v, along)
        v = along
    return found
