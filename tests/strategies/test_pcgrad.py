"""PCGrad against algorithm 1 of its paper and item 6 of paper 001, vectors in float64."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.gradients import gram_matrix
from unlearnkit.strategies import PCGrad
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


def surgery(gradients):
    """Algorithm 1: each gradient, projected against each other one that it conflicts with; the sum."""
    projected = []
    for i, g in enumerate(gradients):
        g = g.clone()
        for j, other in enumerate(gradients):
            if i != j and g @ other < 0:
                g -= (g @ other) / (other @ other) * other
        projected.append(g)
    return sum(projected)


def test_it_is_algorithm_1():
    conflicts = 0
    for g_r, g_f in mild_pairs():
        conflicts += (g_r @ g_f < 0).item()
        torch.testing.assert_close(as_rule(PCGrad())(g_r, g_f), surgery([g_r, g_f]), rtol=1e-12, atol=1e-13)
    assert 5 < conflicts < 20


def test_one_sided_it_is_item_6_of_the_paper_with_a_maximum():
    """c/(1-c) = 1 + max(g_F.g_R, 0)/|g_R|^2, g_F the gradient of the likelihood loss."""
    for g_r, g_f in mild_pairs():
        grad_forget = -g_f
        ratio = 1 + max((grad_forget @ g_r).item(), 0.0) / (g_r @ g_r)
        expected = ratio * g_r - grad_forget
        torch.testing.assert_close(
            as_rule(PCGrad(symmetric=False))(g_r, g_f), expected, rtol=1e-12, atol=1e-13
        )


def test_as_printed_the_retain_weight_would_be_negative():
    """For g_F.g_R < -|g_R|^2, gradients that agree: the printed ratio is -1, ours 1."""
    g_r, g_f = torch.tensor([1.0, 0.0]).double(), torch.tensor([2.0, 1.0]).double()
    assert 1 + (-g_f @ g_r) / (g_r @ g_r) == -1
    weights = PCGrad(symmetric=False).weights(gram_matrix([g_r], [g_f]), {})
    assert (weights.retain.item(), weights.forget.item()) == (1.0, 1.0)


def test_one_sided_the_retain_loss_never_rises_and_forgetting_may_be_undone():
    """The forget direction is projected, the retain gradient is not: it may undo forgetting."""
    undone = 0
    for g_r, g_f in mild_pairs():
        d = as_rule(PCGrad(symmetric=False))(g_r, g_f)
        assert g_r @ d >= -1e-12
        undone += (g_f @ d < 0).item()
    assert undone > 0


def test_agrees_with_torchjd():
    other = pytest.importorskip("torchjd.aggregation").PCGrad()
    for g_r, g_f in mild_pairs():
        torch.testing.assert_close(
            as_rule(PCGrad())(g_r, g_f), other(torch.stack([g_r, g_f])), rtol=1e-13, atol=1e-14
        )


def test_properties():
    rule = as_rule(PCGrad())
    assert_non_conflicting(rule)
    assert_symmetric(rule)
    for each in (rule, as_rule(PCGrad(symmetric=False))):
        assert_scaling(each)
        assert_permutation_invariant(each)
        assert_rotation_invariant(each)


def test_edge_cases():
    """Opposite gradients project each other to nothing: skipped, as TorchJD's 0."""
    assert_edge_cases(PCGrad)
    assert given_round(PCGrad(), [1.0, 2.0], [-3.0, -6.0])[0].skipped == "the gradients cancel"


def test_edge_cases_one_sided():
    """Of opposite gradients the retain gradient is left whole: descent on the retain loss, no noise."""
    assert_edge_cases(lambda: PCGrad(symmetric=False))
    for factor in (-1.0, -3.0):
        report, moved = given_round(PCGrad(symmetric=False), [1.0, 2.0], [factor, 2 * factor])
        assert report.skipped is None
        assert moved.tolist() == pytest.approx([1.0, 2.0])
