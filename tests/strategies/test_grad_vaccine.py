"""GradVaccine against its equations on vectors, over rounds, and TorchJD; phi is saved and resumed."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import gram_matrix
from unlearnkit.strategies import GradVaccine, PCGrad
from unlearnkit.testing.given import given_round
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


def vaccinated(g_r, g_f, phi):
    """Turn each gradient towards the other one as it was, until their cosine is phi; the sum."""
    total = torch.zeros_like(g_r)
    for g, other in ((g_r, g_f), (g_f, g_r)):
        cos = (g @ other / (g.norm() * other.norm())).item()
        turned = g
        if cos < phi:
            factor = g.norm() * (phi * math.sqrt(1 - cos**2) - cos * math.sqrt(1 - phi**2))
            turned = g + factor / (other.norm() * math.sqrt(1 - phi**2)) * other
            assert (turned @ other / (turned.norm() * other.norm())).item() == pytest.approx(phi, abs=1e-9)
        total = total + turned
    return total


def test_it_is_its_equations_over_rounds():
    """Each round with the phi of the rounds before it."""
    strategy, phi, turned = GradVaccine(beta=0.2), 0.0, 0
    for g_r, g_f in mild_pairs():
        expected = vaccinated(g_r, g_f, phi)
        turned += (expected - g_r - g_f).norm().item() > 1e-9
        _, moved = given_round(strategy, g_r, g_f)
        torch.testing.assert_close(moved, expected, rtol=1e-11, atol=1e-12)
        phi = 0.8 * phi + 0.2 * torch.cosine_similarity(g_r, g_f, dim=0).item()
        assert strategy.phi.item() == pytest.approx(phi, rel=1e-12)
    assert 5 < turned < 25


def test_agrees_with_torchjd_over_rounds():
    aggregation = pytest.importorskip("torchjd.aggregation")
    other, strategy = aggregation.GradVac(beta=0.2, eps=1e-12), GradVaccine(beta=0.2)
    for g_r, g_f in mild_pairs():
        expected = other(torch.stack([g_r, g_f]))
        torch.testing.assert_close(given_round(strategy, g_r, g_f)[1], expected, rtol=1e-9, atol=1e-10)


def test_with_phi_0_it_is_pcgrad():
    for g_r, g_f in hard_pairs():
        expected = as_rule(PCGrad())(g_r, g_f)
        found = as_rule(GradVaccine())(g_r, g_f)
        assert (found - expected).norm() <= 1e-9 * expected.norm()


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.9])
def test_properties(phi):
    strategy = GradVaccine()
    strategy.phi.fill_(phi)
    rule = as_rule(strategy)
    assert_scaling(rule)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)
    if phi == 0:
        assert_non_conflicting(rule)


def test_edge_cases():
    """Opposite gradients cancel whatever phi is: skipped."""
    assert_edge_cases(GradVaccine)
    strategy = GradVaccine()
    strategy.phi.fill_(0.6)
    assert given_round(strategy, [1.0, 2.0], [-3.0, -6.0])[0].skipped == "the gradients cancel"


def test_phi_learns_only_from_rounds_in_which_both_gradients_are_there():
    strategy = GradVaccine(beta=0.5)
    given_round(strategy, [1.0, 0.0], [1.0, 0.0])
    assert strategy.phi.item() == 0.5
    given_round(strategy, [1.0, 0.0], [0.0, 0.0])
    given_round(strategy, [1.0, 0.0], [0.0, 1.0], held=["forget"])
    given_round(strategy, [1.0, 0.0], [-1.0, 0.0])  # skipped
    assert strategy.phi.item() == 0.5


def test_phi_is_saved():
    strategy, again = GradVaccine(beta=0.5), GradVaccine(beta=0.5)
    strategy.learn(gram_matrix([torch.ones(2)], [torch.tensor([1.0, 0.0])]), {})
    again.load_state_dict(strategy.state_dict())
    assert again.phi.item() == strategy.phi.item() != 0


@pytest.mark.parametrize("beta", [-0.1, 1.1, math.nan])
def test_beta_lies_between_0_and_1(beta):
    with pytest.raises(ConfigurationError, match=r"`beta` must lie in \[0, 1\].*Found.*Use 0\.01"):
        GradVaccine(beta)
