"""Aligned-MTL against its eigenvalue decomposition, and TorchJD."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.strategies import AlignedMTL
from unlearnkit.testing.given import given_round
from unlearnkit.testing.properties import (
    as_rule,
    assert_edge_cases,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_scaling,
    assert_symmetric,
    mild_pairs,
)

rule = as_rule(AlignedMTL())


def decomposed(g_r, g_f):
    """sqrt(lambda_min) V diag(lambda^-1/2) V^T (1/2, 1/2), over the eigenvalues that are not 0."""
    rows = torch.stack([g_r, g_f])
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    kept = values > 1e-10 * values.max()
    values, vectors = values[kept], vectors[:, kept]
    balance = values.min().sqrt() * vectors @ torch.diag(values.rsqrt()) @ vectors.T
    return rows.T @ balance @ torch.full((2,), 0.5, dtype=torch.float64)


def test_it_is_the_decomposition():
    for g_r, g_f in mild_pairs():
        torch.testing.assert_close(rule(g_r, g_f), decomposed(g_r, g_f), rtol=1e-10, atol=1e-12)


def test_parallel_gradients_have_one_singular_value():
    for factor in (1.0, 0.2, 5.0):
        g = torch.tensor([1.0, 2.0, -1.0]).double()
        torch.testing.assert_close(rule(g, factor * g), decomposed(g, factor * g), rtol=1e-10, atol=1e-12)


def test_agrees_with_torchjd():
    other = pytest.importorskip("torchjd.aggregation").AlignedMTL()
    for g_r, g_f in mild_pairs():
        torch.testing.assert_close(rule(g_r, g_f), other(torch.stack([g_r, g_f])), rtol=1e-11, atol=1e-12)


def test_properties():
    assert_scaling(rule)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)


def test_it_does_not_promise_that_neither_loss_rises():
    a, b = torch.tensor([1.0, 0.0]).double(), torch.tensor([-9.9, 1.41]).double()
    assert a @ rule(a, b) < 0


def test_edge_cases():
    """b = -3a: TorchJD cuts the rank and returns -a; the equation's limit is 0, and the step is skipped."""
    assert_edge_cases(AlignedMTL)
    report, _ = given_round(AlignedMTL(), [1.0, 2.0], [-3.0, -6.0])
    assert report.skipped == "the gradients cancel"
    assert given_round(AlignedMTL(), [1.0, 2.0], [0.0, 0.0])[1].tolist() == pytest.approx([0.5, 1.0])
