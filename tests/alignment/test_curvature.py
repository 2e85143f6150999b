"""Conjugate gradients, the diagonal and the extreme curvature of known matrices."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.alignment.curvature import conjugate_gradients, diagonal, dot, extreme_curvature
from unlearnkit.errors import NonFiniteError


def matrix(eigenvalues, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(eigenvalues)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ q.T


def product_of(a):
    """Multiply a vector that comes in two parts."""

    def product(v):
        found = a @ torch.cat(v)
        return list(found.split([len(part) for part in v]))

    return product


def parts(seed=1):
    whole = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return list(whole.split([2, 4]))


def test_conjugate_gradients_solve_in_as_many_iterations_as_there_are_dimensions():
    a, b = matrix([0.5, 1, 2, 3, 5, 9]), parts()
    found = conjugate_gradients(product_of(a), b, iterations=10, tolerance=1e-10)
    assert found.stopped == "converged"
    assert found.iterations <= 7
    torch.testing.assert_close(torch.cat(found.solution), torch.linalg.solve(a, torch.cat(b)))
    few = conjugate_gradients(product_of(a), b, iterations=2)
    assert (few.stopped, few.iterations) == ("iterations", 2)


def test_conjugate_gradients_stop_where_the_matrix_curves_down():
    b = parts()
    for eigenvalues in ([-1, -1, -1, -1, -1, -1], [-3, 1, 2, 3, 5, 9]):
        found = conjugate_gradients(product_of(matrix(eigenvalues)), b, iterations=10, tolerance=1e-12)
        assert found.stopped == "negative curvature"
        assert all(bool(part.isfinite().all()) for part in found.solution)
    assert torch.equal(
        torch.cat(conjugate_gradients(product_of(-matrix([1.0] * 6)), b).solution), torch.cat(b)
    )


def test_a_right_hand_side_of_zero_is_solved_by_zero():
    found = conjugate_gradients(product_of(matrix([1.0] * 6)), [torch.zeros(2), torch.zeros(4)])
    assert (found.iterations, found.stopped) == (0, "converged")


def test_products_that_are_not_finite_are_refused():
    with pytest.raises(NonFiniteError, match="`product` must return finite numbers"):
        conjugate_gradients(lambda v: [part * torch.nan for part in v], parts())


def test_diagonal_is_exact_for_diagonal_matrices_and_unbiased_for_others():
    a = torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64))
    assert torch.cat(diagonal(product_of(a), parts(), probes=1)).tolist() == [1, 2, 3, 4, 5, 6]
    b = matrix([0.5, 1, 2, 3, 5, 9])
    found = torch.cat(diagonal(product_of(b), parts(), probes=4000))
    torch.testing.assert_close(found, b.diag(), rtol=0.05, atol=0.1)
    again = torch.cat(diagonal(product_of(b), parts(), probes=3, seed=4))
    assert torch.equal(again, torch.cat(diagonal(product_of(b), parts(), probes=3, seed=4)))


def test_extreme_curvature_finds_the_eigenvalue_of_largest_size_and_never_overstates_it():
    for eigenvalues in ([-9, 1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5, 7]):
        a, largest = matrix(eigenvalues), max(eigenvalues, key=abs)
        assert extreme_curvature(product_of(a), parts(), iterations=60) == pytest.approx(largest, rel=1e-6)
        for iterations in range(1, 8):
            found = extreme_curvature(product_of(a), parts(), iterations)
            assert min(eigenvalues) - 1e-9 <= found <= max(eigenvalues) + 1e-9
    assert extreme_curvature(lambda v: [0 * part for part in v], parts()) == 0.0


def test_dot_adds_in_float64():
    assert dot([torch.tensor([1e8, 1.0])], [torch.tensor([1.0, 1.0])]) == 100000001.0
