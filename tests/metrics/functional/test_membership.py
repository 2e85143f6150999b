"""Both attacks on constructed scores with known answers, and against scikit-learn's parts put together by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy

from unlearnkit.errors import DataError
from unlearnkit.metrics.functional.membership import (
    confidence_nonmember_rate,
    entropy,
    entropy_member_rate,
    js_divergence,
    true_class_probability,
)


def rows(n=50, classes=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=generator, dtype=torch.float64).mul(3).softmax(-1)


def test_entropy_is_scipys():
    given = rows()
    torch.testing.assert_close(entropy(given), torch.tensor(scipy_entropy(given.numpy(), axis=1)))
    assert entropy(torch.tensor([[0.0, 1.0]])).item() == 0.0
    assert entropy(torch.full((1, 10), 0.1)).item() == pytest.approx(math.log(10))


def test_true_class_probability():
    given, labels = rows(), torch.arange(50) % 7
    assert true_class_probability(given, labels).tolist() == [given[i, i % 7].item() for i in range(50)]


def test_js_divergence_is_scipys_distance_squared():
    first, second = rows(seed=1), rows(seed=2)
    expected = jensenshannon(first.numpy(), second.numpy(), axis=1) ** 2
    torch.testing.assert_close(js_divergence(first, second), torch.tensor(expected))
    assert js_divergence(first, first).abs().max() < 1e-12
    torch.testing.assert_close(js_divergence(first, second), js_divergence(second, first))
    sure = torch.eye(2)
    assert js_divergence(sure, sure.flip(0)).tolist() == pytest.approx([math.log(2)] * 2)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_separated_scores_have_a_known_rate(share):
    """Members are sure, others are not: the forget set's rate is the share of it that is sure."""
    low, high = torch.linspace(0.0, 0.1, 100), torch.linspace(1.0, 2.0, 100)
    members = int(share * 20)
    forget = torch.cat([low[:members], high[: 20 - members]])
    assert entropy_member_rate(retain=low, test=high, forget=forget) == share
    assert confidence_nonmember_rate(retain=1 - low, test=1 - high, forget=1 - forget) == pytest.approx(
        1 - share
    )


def quantiles(middle, n=400):
    """Return ``n`` evenly spaced quantiles of a normal distribution of deviation 1: its shape, and no chance."""
    places = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.distributions.Normal(torch.tensor(middle, dtype=torch.float64), 1.0).icdf(places)


def auc(members, others):
    """Return how often a member's entropy is below another's, ties half."""
    below = (members[:, None] < others).double() + 0.5 * (members[:, None] == others).double()
    return below.mean().item()


def rates(members, others, forget):
    """Return both rates of the same scores, entropies for one attack and their negatives as confidences."""
    first = entropy_member_rate(retain=members, test=others, forget=forget)
    return first, confidence_nonmember_rate(retain=-members, test=-others, forget=-forget)


def test_auc_1_separates_members_from_others():
    members, others = quantiles(0.0), quantiles(20.0)
    assert auc(members, others) == 1.0
    assert rates(members, others, members) == (1.0, 0.0)
    assert rates(members, others, others) == (0.0, 1.0)


def test_auc_between_two_normal_distributions_one_deviation_apart():
    """By symmetry both attacks cut half-way: a member is called so with probability Phi(1/2)."""
    members, others = quantiles(0.0), quantiles(1.0)
    assert auc(members, others) == pytest.approx(0.5 * (1 + math.erf(0.5)), abs=0.002)  # Phi(1 / sqrt 2)
    half = 0.5 * (1 + math.erf(0.5 / math.sqrt(2)))
    assert rates(members, others, members) == pytest.approx((half, 1 - half), abs=0.01)
    assert rates(members, others, others) == pytest.approx((1 - half, half), abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_auc_of_two_values_worked_out_by_hand(share):
    """Members are sure 8 times of 10, others 3 times: AUC = .8 x .7 + (.8 x .3 + .2 x .7) / 2 = .75."""
    members = torch.tensor([0.0] * 80 + [1.0] * 20)
    others = torch.tensor([0.0] * 30 + [1.0] * 70)
    assert auc(members, others) == pytest.approx(0.75)
    sure = round(40 * share)
    forget = torch.tensor([0.0] * sure + [1.0] * (40 - sure))
    assert rates(members, others, forget) == pytest.approx((share, 1 - share))
    # Ten times as many members change neither: one attack weighs them, the other takes as many of each.
    assert rates(members.repeat(10), others, forget) == pytest.approx((share, 1 - share))


def test_auc_one_half_tells_members_from_others_no_better_than_chance():
    """Each attack says of those that it was trained on as members hardly more often that they are than of others."""
    generator = torch.Generator().manual_seed(0)
    members, others = (torch.randn(1500, generator=generator) for _ in range(2))
    assert auc(members, others) == pytest.approx(0.5, abs=0.02)
    for first, second in zip(rates(members, others, members), rates(members, others, others), strict=True):
        assert first == pytest.approx(second, abs=0.06)


def test_the_two_rates_point_in_opposite_directions():
    sure, unsure = torch.linspace(0.9, 1.0, 100), torch.linspace(0.0, 0.3, 100)
    forget = torch.cat([sure[:30], unsure[:10]])
    members = entropy_member_rate(retain=1 - sure, test=1 - unsure, forget=1 - forget)
    others = confidence_nonmember_rate(retain=sure, test=unsure, forget=forget)
    assert members == pytest.approx(0.75) and others == pytest.approx(0.25)


def test_unbalanced_sets_are_weighted():
    """Nine times as many members: without weights all would be called members."""
    generator = np.random.default_rng(0)
    retain = torch.tensor(generator.normal(0.0, 1.0, 9000))
    test = torch.tensor(generator.normal(0.5, 1.0, 1000))
    rate = entropy_member_rate(
        retain=retain, test=test, forget=torch.tensor(generator.normal(0.25, 1.0, 4000))
    )
    assert rate == pytest.approx(0.5, abs=0.04)


def test_the_svc_is_salun_s():
    from sklearn.svm import SVC

    generator = np.random.default_rng(1)
    retain, test, forget = (
        torch.tensor(generator.beta(a, b, n)) for a, b, n in ((5, 1, 90), (3, 2, 60), (4, 1, 50))
    )
    features = np.concatenate([retain[[i * 90 // 60 for i in range(60)]].numpy(), test.numpy()])[:, None]
    machine = SVC(C=3, gamma="auto", kernel="rbf").fit(features, np.r_[np.ones(60), np.zeros(60)])
    expected = 1 - machine.predict(forget.numpy()[:, None]).mean()
    assert confidence_nonmember_rate(retain=retain, test=test, forget=forget) == pytest.approx(expected)
    fewer = confidence_nonmember_rate(retain=retain, test=test, forget=forget, rows=20)
    chosen = {
        name: scores[[i * len(scores) // 20 for i in range(20)]]
        for name, scores in (("retain", retain), ("test", test))
    }
    assert fewer == confidence_nonmember_rate(**chosen, forget=forget)


@pytest.mark.parametrize("attack", [entropy_member_rate, confidence_nonmember_rate])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["retain", "test", "forget"])
def test_a_diverged_model_has_no_rate(attack, value, name):
    scores = {"retain": torch.rand(9), "test": torch.rand(9), "forget": torch.rand(9)}
    scores[name][3] = value
    assert math.isnan(attack(**scores))


@pytest.mark.parametrize("attack", [entropy_member_rate, confidence_nonmember_rate])
def test_an_empty_set_is_refused(attack):
    with pytest.raises(DataError, match="`test` must hold at least one score. Found none"):
        attack(retain=torch.rand(9), test=torch.rand(0), forget=torch.rand(9))


@pytest.mark.parametrize("seed", range(4))
def test_at_chance_the_svc_does_not_call_half_of_the_images_members(seed):
    """All three sets are of one distribution: logistic regression says one half, the SVC follows accidents."""
    generator = torch.Generator().manual_seed(seed)
    retain, test, forget = (torch.rand(400, generator=generator, dtype=torch.float64) for _ in range(3))
    assert abs(entropy_member_rate(retain, test, forget) - 0.5) < 0.1
    assert abs(confidence_nonmember_rate(retain, test, forget) - 0.5) > 0.1
