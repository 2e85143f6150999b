"""Marginal gains against the exact bilevel problem: their size, their order, their sign."""

from __future__ import annotations

import pytest
import torch

from tests.alignment.bilevel import SAMPLES, Bilevel, spearman
from unlearnkit.alignment import MarginalGains
from unlearnkit.alignment.gains import ranked
from unlearnkit.errors import (
    ConfigurationError,
    DataError,
    NonFiniteError,
    UnknownNameError,
    UnlearnKitWarning,
)
from unlearnkit.gradients import InnerProblem
from unlearnkit.objectives import NPO, AscentNLL


def simplex(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(torch.randn(SAMPLES, generator=generator, dtype=torch.float64), 0)


def finite_differences(exact: Bilevel, weights, h=1e-4):
    """Return dJ/dw of the exact bilevel problem, each inner problem solved anew."""
    found = []
    for k in range(SAMPLES):
        ends = []
        for sign in (1.0, -1.0):
            moved = weights.clone()
            moved[k] += sign * h
            ends.append(exact.value(moved))
        found.append((ends[0] - ends[1]) / (2 * h))
    exact.solve(weights)
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("objective", [AscentNLL(), NPO(beta=0.5)])
@pytest.mark.parametrize("lam", [0.5, 2.0])
def test_implicit_gradient_is_that_of_the_exact_bilevel_objective(objective, lam):
    exact, weights = Bilevel(lam, objective), simplex()
    want = finite_differences(exact, weights)
    for method in ("difference", "jvp"):
        gains = MarginalGains(lam, curvature="cg", method=method, iterations=30)
        found = gains(exact.problem, exact.gradient(), weights)
        assert (found - want).abs().max() < 1e-6 * want.abs().max()
        assert (found - want).abs().max() < 1e-6


def test_at_the_target_without_weights_identity_is_exact_and_has_the_factor_one_over_two_lambda():
    exact, nothing = Bilevel(lam=4.0), torch.zeros(SAMPLES, dtype=torch.float64)
    want = finite_differences(exact, nothing)
    found = MarginalGains(4.0)(exact.problem, exact.gradient())
    assert (found - want).abs().max() < 1e-8
    parts = torch.stack([p.detach() for p in exact.gradient()])[0]
    first = -(
        exact.all["targets"] * torch.sigmoid(-exact.all["targets"] * (exact.all["inputs"] @ exact.start))
    )
    by_hand = (first[:, None] * exact.all["inputs"]) @ parts / (2 * 4.0)
    torch.testing.assert_close(found, by_hand, rtol=1e-7, atol=1e-10)


def test_better_curvature_is_nearer_to_the_truth():
    exact, weights = Bilevel(lam=0.3), simplex()
    want = finite_differences(exact, weights)
    errors = {
        kind: float(
            (MarginalGains(0.3, kind, iterations=30)(exact.problem, exact.gradient(), weights) - want)
            .abs()
            .max()
        )
        for kind in ("identity", "diagonal", "cg")
    }
    assert errors["cg"] < 1e-6 < errors["diagonal"] < errors["identity"]


def test_equation_7_ranks_true_effects_at_large_lambda():
    exact = Bilevel(lam=100.0)
    predicted = MarginalGains(100.0)(exact.problem, exact.gradient())
    before = exact.j.value(exact.model)
    effects = []
    for k in range(SAMPLES):
        alone = torch.zeros(SAMPLES, dtype=torch.float64)
        alone[k] = 1.0
        effects.append(exact.value(alone) - before)
    effects = torch.tensor(effects)
    assert spearman(predicted, effects) > 0.95
    assert torch.equal(predicted > 0, effects > 0)
    assert (effects / predicted - 1).abs().median() < 0.02


def test_the_sign_is_of_what_unlearning_minimises():
    """Unlearning the samples of highest gain helps, unlearning those of lowest gain hurts."""
    exact = Bilevel(lam=1.0)
    gains = MarginalGains(1.0)(exact.problem, exact.gradient())
    before, order = exact.j.value(exact.model), ranked(exact.problem.rows, gains)
    ends = {}
    for name, chosen in {"top": order[:8], "bottom": order[-8:]}.items():
        weights = torch.zeros(SAMPLES, dtype=torch.float64)
        weights[chosen] = 1 / 8
        ends[name] = exact.value(weights)
    assert ends["bottom"] < before < ends["top"]


def test_npo_has_the_gains_of_gradient_ascent_at_the_target():
    ascent = Bilevel()
    found = [
        MarginalGains(method="jvp")(exact.problem, exact.gradient())
        for exact in (ascent, Bilevel(objective=NPO(beta=0.1)), Bilevel(objective=NPO(beta=2.0)))
    ]
    for npo in found[1:]:
        torch.testing.assert_close(npo, found[0], rtol=1e-13, atol=1e-15)


def test_a_problem_that_curves_down_is_said_to(recwarn):
    """Gradient ascent on convex losses is concave: below half its curvature lambda holds nothing together."""
    weights = simplex()
    fine = Bilevel(lam=1.0)
    assert MarginalGains(1.0).warn_of_curvature(fine.problem, weights) < 0
    MarginalGains(1.0, "cg")(fine.problem, fine.gradient(), weights)
    assert not recwarn.list
    loose = Bilevel(lam=0.001)
    with pytest.warns(
        UnlearnKitWarning, match="`lam` must be above .* half the curvature measured.*Found 0.001"
    ):
        measured = MarginalGains(0.001).warn_of_curvature(loose.problem, weights)
    part, own = loose.problem.weighed_part(weights)
    whole = torch.stack([part.hessian_product([row], own)[0] for row in torch.eye(6, dtype=torch.float64)])
    assert torch.linalg.eigvalsh(whole)[0] <= measured < 0
    with pytest.warns(UnlearnKitWarning, match="curves down along J's gradient: lambda = 0.001"):
        found = MarginalGains(0.001, "cg")(loose.problem, loose.gradient(), weights)
    assert torch.equal(found, MarginalGains(0.001)(loose.problem, loose.gradient(), weights))
    assert MarginalGains(0.001, check=False).warn_of_curvature(loose.problem, weights) is None


def test_order_of_equal_gains_is_that_of_rows():
    assert ranked(torch.tensor([4, 2, 8, 6]), torch.tensor([0.0, 0.0, 1.0, 0.0])).tolist() == [2, 1, 0, 3]


def test_bad_arguments_are_refused():
    for lam in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="`lam` must be above 0"):
            MarginalGains(lam)
    with pytest.raises(UnknownNameError, match="`curvature` must be one of: cg, diagonal, identity"):
        MarginalGains(curvature="full")
    with pytest.raises(UnknownNameError, match="`method` must be one of"):
        MarginalGains(method="vmap")
    with pytest.raises(ConfigurationError, match="`iterations` must be 1 or above"):
        MarginalGains(iterations=0)


def test_numbers_that_are_not_finite_are_refused():
    exact = Bilevel()
    with pytest.raises(NonFiniteError, match="`gradient` of J must be finite"):
        MarginalGains()(exact.problem, [torch.full((6,), torch.nan, dtype=torch.float64)])
    exact.batches[1]["inputs"][2] = torch.inf
    with pytest.raises(NonFiniteError, match="finite gains. Found nan for row 109"):
        MarginalGains()(exact.problem, exact.gradient())


def test_candidates_that_are_none_are_refused():
    exact = Bilevel()
    for batches, message in (
        ([], "at least one sample to forget. Found none"),
        ([{"inputs": torch.zeros(1)}], r"`index` of each sample.*Found \['inputs'\]"),
        ([exact.all, exact.all], "each row once. Found 24 repeated"),
    ):
        with pytest.raises(DataError, match=message):
            MarginalGains()(InnerProblem(exact.model, exact.losses, batches), exact.gradient())
