"""DualProj against its projection, solved by trying every set of active constraints."""

from __future__ import annotations

import pytest
import torch

from tests.strategies.cone import projected
from unlearnkit.strategies import DualProj
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

rule = as_rule(DualProj())


def test_it_is_the_projection_of_the_mean():
    """TorchJD's own (a regularised solver) is not installed with it; this is the problem that it solves."""
    changed = 0
    for g_r, g_f in mild_pairs():
        mean = (g_r + g_f) / 2
        expected = projected(mean, [g_r, g_f])
        changed += (expected - mean).norm().item() > 1e-9
        torch.testing.assert_close(rule(g_r, g_f), expected, rtol=1e-11, atol=1e-13)
    assert changed > 2


def test_properties():
    assert_non_conflicting(rule)
    assert_scaling(rule)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)


def test_edge_cases():
    """Opposite gradients: their mean is projected to nothing, skipped. One alone: half, as TorchJD for UPGrad."""
    assert_edge_cases(DualProj)
    assert rule(torch.tensor([2.0, 4.0]), torch.zeros(2)).tolist() == pytest.approx([1.0, 2.0])
