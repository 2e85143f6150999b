"""IMTL-G, Nash-MTL and ConFIG by their own papers' formulas, in float64, and against TorchJD where it is sound."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.gradients import gram_matrix
from unlearnkit.strategies import IMTLG, ConFIG, NashMTL, NGDiff
from unlearnkit.testing.given import given_round
from unlearnkit.testing.properties import (
    as_rule,
    assert_bounded,
    assert_edge_cases,
    assert_ignores_lengths,
    assert_non_conflicting,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_same_direction,
    assert_scaling,
    assert_symmetric,
    hard_pairs,
    mild_pairs,
)

FAMILY = (IMTLG, NashMTL, ConFIG)


@pytest.mark.parametrize("kind", FAMILY)
def test_for_two_tasks_it_is_ngdiffs_direction_at_another_length(kind):
    assert_same_direction(as_rule(kind()), as_rule(NGDiff()), hard_pairs())


def test_the_four_lengths():
    """With a, b the lengths and cos the cosine; the table of the module."""
    for g_r, g_f in mild_pairs():
        a, b = g_r.norm().item(), g_f.norm().item()
        cos = torch.cosine_similarity(g_r, g_f, dim=0).item()
        unit = math.sqrt(2 * (1 + cos))
        expected = {
            NGDiff: unit,
            IMTLG: a * b / (a + b) * unit,
            NashMTL: math.sqrt(2),
            ConFIG: (a + b) / 2 * unit,
        }
        for kind, length in expected.items():
            assert as_rule(kind())(g_r, g_f).norm().item() == pytest.approx(length, rel=1e-12)


def test_imtl_g_is_item_7_of_the_paper():
    """c = b.(u_b - u_a) / (b - a).(u_b - u_a), and d = c a + (1 - c) b."""
    for a, b in mild_pairs():
        gap = b / b.norm() - a / a.norm()
        c = (b @ gap) / ((b - a) @ gap)
        torch.testing.assert_close(as_rule(IMTLG())(a, b), c * a + (1 - c) * b, rtol=1e-11, atol=1e-13)


def test_imtl_g_projects_alike_on_both_unit_gradients():
    for a, b in mild_pairs():
        d = as_rule(IMTLG())(a, b)
        assert (d @ a / a.norm()).item() == pytest.approx((d @ b / b.norm()).item(), rel=1e-11)


def test_nash_mtl_solves_its_equation():
    """G w = 1/w."""
    for a, b in mild_pairs():
        gram = gram_matrix([a], [b])
        weights = NashMTL().weights(gram, {})
        assert (weights.retain * gram.retain_effect(weights)).item() == pytest.approx(1, rel=1e-12)
        assert (weights.forget * gram.forget_effect(weights)).item() == pytest.approx(1, rel=1e-12)


def test_config_is_its_pseudo_inverse():
    """Unit vector along pinv(unit gradients) 1, times the sum of both projections."""
    for a, b in mild_pairs():
        units = torch.stack([a / a.norm(), b / b.norm()])
        along = torch.linalg.pinv(units) @ torch.ones(2, dtype=torch.float64)
        along = along / along.norm()
        torch.testing.assert_close(
            as_rule(ConFIG())(a, b), along * (a @ along + b @ along), rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize(
    ("kind", "name", "settings", "tolerance"),
    [(IMTLG, "IMTLG", {}, 1e-13), (ConFIG, "ConFIG", {}, 1e-12), (NashMTL, "FairGrad", {"alpha": 1.0}, 1e-9)],
)
def test_agrees_with_torchjd(kind, name, settings, tolerance):
    """Nash-MTL is FairGrad at alpha = 1, which TorchJD solves without another library."""
    aggregation = pytest.importorskip("torchjd.aggregation")
    other = getattr(aggregation, name)(**settings)
    for g_r, g_f in mild_pairs():
        expected = other(torch.stack([g_r, g_f]))
        error = (as_rule(kind())(g_r, g_f) - expected).norm() / expected.norm()
        assert error <= tolerance


@pytest.mark.parametrize(("kind", "degree"), [(IMTLG, 1), (NashMTL, 0), (ConFIG, 1)])
def test_properties(kind, degree):
    rule = as_rule(kind())
    assert_non_conflicting(rule)
    assert_scaling(rule, degree)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)
    assert kind.normalized == (kind is NashMTL)


def test_nash_mtl_ignores_lengths():
    assert_ignores_lengths(as_rule(NashMTL()))
    assert_bounded(as_rule(NashMTL()), math.sqrt(2))


@pytest.mark.parametrize("kind", FAMILY)
def test_edge_cases(kind):
    """Opposite gradients cancel at any lengths: skipped. TorchJD returns -5a (IMTL-G) and -2a (Nash) for b = -3a."""
    assert_edge_cases(kind)
    report, _ = given_round(kind(), [1.0, 2.0, 0.0], [-3.0, -6.0, 0.0])
    assert report.skipped == "the gradients cancel"


@pytest.mark.parametrize(("kind", "share"), [(IMTLG, 0.5), (ConFIG, 1.0), (NashMTL, 1 / math.sqrt(10))])
def test_without_a_forget_gradient_retain_has_what_it_would_have_beside_an_equal_one(kind, share):
    """By the formula alone IMTL-G would stop (its length is 0): a side that is held must not stop the other."""
    _, moved = given_round(kind(), [1.0, 2.0], [0.0, 0.0])
    assert moved.tolist() == pytest.approx([share, 2 * share])
