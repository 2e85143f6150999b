"""MGDA against the shortest vector found by trying, and TorchJD."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.gradients import gram_matrix
from unlearnkit.strategies import MGDA
from unlearnkit.testing.given import given_round
from unlearnkit.testing.properties import (
    as_rule,
    assert_edge_cases,
    assert_non_conflicting,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_scaling,
    assert_symmetric,
    mild_pairs,
)

rule = as_rule(MGDA())


def test_it_is_the_shortest_of_a_fine_grid():
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:, None]
    ends = 0
    for g_r, g_f in mild_pairs():
        tried = (grid * g_r + (1 - grid) * g_f).norm(dim=1)
        d = rule(g_r, g_f)
        assert d.norm() <= tried.min() + 1e-12
        assert d.norm() >= tried.min() - 1e-3 * max(g_r.norm(), g_f.norm())
        ends += tried.argmin().item() in (0, len(grid) - 1)
        weights = MGDA().weights(gram_matrix([g_r], [g_f]), {})
        assert (weights.retain + weights.forget).item() == pytest.approx(1)
    assert 0 < ends < 25


def test_agrees_with_torchjd():
    other = pytest.importorskip("torchjd.aggregation").MGDA(epsilon=1e-9, max_iters=1000)
    for g_r, g_f in mild_pairs():
        torch.testing.assert_close(rule(g_r, g_f), other(torch.stack([g_r, g_f])), rtol=1e-9, atol=1e-10)


def test_properties():
    assert_non_conflicting(rule)
    assert_scaling(rule)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)


def test_edge_cases():
    """Opposite gradients: the shortest vector is 0, skipped, as TorchJD.

    A vanished gradient is the shortest vector itself, and TorchJD stops; here it counts as absent and the other
    side goes on, because a side that is held or an empty batch must not stop the run.
    """
    assert_edge_cases(MGDA)
    assert given_round(MGDA(), [1.0, 2.0], [-3.0, -6.0])[0].skipped == "the gradients cancel"
    assert given_round(MGDA(), [1.0, 2.0], [0.0, 0.0])[1].tolist() == pytest.approx([0.5, 1.0])
    assert given_round(MGDA(), [1.0, 2.0], [2.0, 4.0])[1].tolist() == pytest.approx([1.0, 2.0])
    assert given_round(MGDA(), [1.0, 2.0], [1.0, 2.0])[1].tolist() == pytest.approx([1.0, 2.0])
