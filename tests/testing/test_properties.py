"""Each property passes for a rule that has it and fails for one that has not."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.gradients import Weights
from unlearnkit.strategies import GramStrategy, NGDiff
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


def ngdiff(g_r, g_f):
    return sum(g / g.norm() if g.norm() > 0 else g for g in (g_r, g_f))


def total(g_r, g_f):
    return g_r + g_f


def retain(g_r, g_f):
    return g_r


def signs(g_r, g_f):
    """Not a Gram rule: it sees the coordinates."""
    return g_r.sign() + g_f.sign()


def first_longer(g_r, g_f):
    """Sees the order of the parameters."""
    return g_r * torch.linspace(1, 2, len(g_r), dtype=g_r.dtype)


HOLDS = [
    (assert_non_conflicting, (), ngdiff),
    (assert_ignores_lengths, (), ngdiff),
    (assert_scaling, (0.0,), ngdiff),
    (assert_scaling, (1.0,), total),
    (assert_permutation_invariant, (), signs),
    (assert_rotation_invariant, (), total),
    (assert_symmetric, (), ngdiff),
    (assert_bounded, (2.0,), ngdiff),
]

FAILS = [
    (assert_non_conflicting, (), total, "loss rises to first order"),
    (assert_non_conflicting, (), retain, "the forget loss rises"),
    (assert_non_conflicting, (), lambda g_r, g_f: g_f, "the retain loss rises"),
    (assert_ignores_lengths, (), total, "changes under lengths times"),
    (assert_scaling, (1.0,), ngdiff, "changes under scaling by"),
    (assert_scaling, (0.0,), total, "changes under scaling by"),
    (assert_permutation_invariant, (), first_longer, "changes under a permutation"),
    (assert_rotation_invariant, (), signs, "changes under a rotation"),
    (assert_symmetric, (), retain, "changes under exchanging the sides"),
    (assert_bounded, (1.9,), ngdiff, r"long, above 1\.9"),
    (assert_bounded, (1.0,), lambda g_r, g_f: g_r / g_r.norm(), "is not finite"),
    (assert_bounded, (1.0,), lambda g_r, g_f: g_r[:2], "must have the gradients' shape"),
]


@pytest.mark.parametrize(("check", "arguments", "rule"), HOLDS)
def test_it_passes_where_it_holds(check, arguments, rule):
    check(rule, *arguments)


@pytest.mark.parametrize(("check", "arguments", "rule", "message"), FAILS)
def test_it_fails_where_it_does_not(check, arguments, rule, message):
    with pytest.raises(AssertionError, match=message):
        check(rule, *arguments)


def test_same_direction_ignores_positive_factors_only():
    pairs = hard_pairs()[:5]
    assert_same_direction(ngdiff, lambda g_r, g_f: 7 * ngdiff(g_r, g_f), pairs)
    with pytest.raises(AssertionError, match="changes under another rule"):
        assert_same_direction(ngdiff, lambda g_r, g_f: -ngdiff(g_r, g_f), pairs)


def test_a_rule_that_overwrites_its_arguments_is_tested_all_the_same():
    def in_place(g_r, g_f):
        return g_f.div_(g_f.norm()).add_(g_r.div_(g_r.norm()))

    pairs = hard_pairs()[:-2]
    before = [(a.clone(), b.clone()) for a, b in pairs]
    assert_non_conflicting(in_place, pairs)
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(pairs, before, strict=True))


def test_as_rule_runs_the_strategys_own_code():
    g_r, g_f = torch.tensor([3.0, 0.0]).double(), torch.tensor([0.0, 0.5]).double()
    assert as_rule(NGDiff())(g_r, g_f).tolist() == pytest.approx([1.0, 1.0])
    assert g_f.tolist() == [0.0, 0.5]

    class Swap(GramStrategy):
        def weights(self, gram, losses):
            return Weights(retain=gram.ff, forget=gram.rr)

    assert as_rule(Swap())(g_r, g_f).tolist() == pytest.approx([0.75, 4.5])


def test_hard_pairs_are_hard_and_seeded():
    pairs = hard_pairs()
    cosines = [(a @ b / (a.norm() * b.norm())).item() for a, b in pairs[:-2]]
    ratios = [(b.norm() / a.norm()).item() for a, b in pairs[:-2]]
    assert max(cosines) > 1 - 1e-9
    assert min(cosines) < -0.999
    assert any(abs(c) < 1e-12 for c in cosines)
    assert min(ratios) < 1e-9
    assert max(ratios) > 1e9
    assert any((a == 0).any() for a, _ in pairs)
    assert pairs[-2][1].norm() == pairs[-1][0].norm() == 0
    again = hard_pairs()
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(pairs, again, strict=True))


def test_mild_pairs_are_within_a_decade():
    ratios = [(b.norm() / a.norm()).item() for a, b in mild_pairs()]
    assert 0.1 <= min(ratios) < 0.3
    assert 3 < max(ratios) <= 10
    assert torch.equal(mild_pairs()[3][1], mild_pairs()[3][1])


class Weighing(GramStrategy):
    """Weights by a function of the Gram matrix."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def weigh(self, gram, losses):
        return self.weights(gram, losses)

    def weights(self, gram, losses):
        return Weights(*(value * torch.ones_like(gram.rr) for value in self.rule(gram)))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda gram: (gram.ff.sqrt(), gram.rr.sqrt()), "one side alone is"),
        (
            lambda gram: (torch.where(gram.ff > 0, gram.rr.rsqrt(), 0.0), gram.ff.rsqrt()),
            "without gradients: non-fi",
        ),
        (lambda gram: (1e-6, 1e-6), "a step along|hardly moves"),
    ],
)
def test_edge_cases_are_noticed(rule, message):
    """Strategies that stop, divide by nothing, or crawl where one side is alone."""
    with pytest.raises(AssertionError, match=message):
        assert_edge_cases(lambda: Weighing(rule), sizes=(3,))


def test_following_noise_is_noticed(monkeypatch):
    monkeypatch.setattr("unlearnkit.strategies.base.CANCELLED", 0.0)
    with pytest.raises(AssertionError, match="a step along"):
        assert_edge_cases(NGDiff, sizes=(1000,))
