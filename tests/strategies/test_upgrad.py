"""UPGrad against its projection, solved by trying every set of active constraints."""

from __future__ import annotations

import pytest
import torch

from tests.strategies.cone import projected
from unlearnkit.strategies import PCGrad, UPGrad
from unlearnkit.testing.properties import (
    as_rule,
    assert_edge_cases,
    assert_non_conflicting,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_scaling,
    assert_symmetric,
    hard_pairs,
    mild_pairs,
)

rule = as_rule(UPGrad())


def test_it_is_the_mean_of_both_projections():
    """TorchJD's own (a regularised solver) is not installed with it; this is the problem that it solves."""
    for g_r, g_f in mild_pairs():
        expected = (projected(g_r, [g_r, g_f]) + projected(g_f, [g_r, g_f])) / 2
        torch.testing.assert_close(rule(g_r, g_f), expected, rtol=1e-11, atol=1e-13)


def test_for_two_tasks_it_is_half_of_pcgrad():
    for g_r, g_f in hard_pairs():
        assert torch.equal(2 * rule(g_r, g_f), as_rule(PCGrad())(g_r, g_f))


def test_properties():
    assert_non_conflicting(rule)
    assert_scaling(rule)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)


def test_edge_cases():
    """Opposite gradients: skipped (the cone holds nothing along them). One alone: half of it, as TorchJD."""
    assert_edge_cases(UPGrad)
    assert rule(torch.tensor([2.0, 4.0]), torch.zeros(2)).tolist() == pytest.approx([1.0, 2.0])
