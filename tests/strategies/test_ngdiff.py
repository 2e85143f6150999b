"""NGDiff against section 3.2 of paper 001, in the paper's signs, written naively in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unlearnkit.gradients import gram_matrix
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, NPO, AscentNLL
from unlearnkit.strategies import NGDiff
from unlearnkit.testing.properties import (
    as_rule,
    assert_bounded,
    assert_ignores_lengths,
    assert_non_conflicting,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_same_direction,
    assert_scaling,
    assert_symmetric,
    hard_pairs,
)
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_pair

rule = as_rule(NGDiff())


def paper_direction(grad_retain, grad_forget):
    """g_NGDiff = g_R/|g_R| - g_F/|g_F|; g_F is the gradient of the likelihood loss, to be ascended."""
    return grad_retain / grad_retain.norm() - grad_forget / grad_forget.norm()


def paper_c(grad_retain, grad_forget):
    """c_t = (1/|g_R|) / (1/|g_R| + 1/|g_F|)."""
    return (1 / grad_retain.norm()) / (1 / grad_retain.norm() + 1 / grad_forget.norm())


# -------------------------------------------------------------------------------- the equations


def test_direction_is_the_papers():
    for g_r, g_f in hard_pairs()[:-2]:
        torch.testing.assert_close(rule(g_r, g_f), paper_direction(g_r, -g_f), rtol=1e-12, atol=1e-13)


def test_c_t_gives_the_same_direction_up_to_the_common_factor():
    """g_UN(c_t) = c_t g_R - (1 - c_t) g_F = d / (1/|g_R| + 1/|g_F|)."""
    for g_r, g_f in hard_pairs()[:-2]:
        grad_forget = -g_f
        c = paper_c(g_r, grad_forget)
        g_un = c * g_r - (1 - c) * grad_forget
        factor = 1 / g_r.norm() + 1 / grad_forget.norm()
        # 1 - c_t loses digits where one gradient is much the shorter; the normalized form does not.
        lost = max(g_r.norm() / g_f.norm(), g_f.norm() / g_r.norm()).item()
        torch.testing.assert_close(rule(g_r, g_f), g_un * factor, rtol=0, atol=1e-15 * (100 + lost))


def test_weights_hold_the_papers_c_t():
    g_r, g_f = torch.tensor([3.0, 4.0]).double(), torch.tensor([0.0, -0.5]).double()
    weights = NGDiff().weights(gram_matrix([g_r], [g_f]), {})
    c = weights.retain / (weights.retain + weights.forget)
    assert c.item() == pytest.approx(paper_c(g_r, -g_f).item(), rel=1e-15)


@pytest.mark.parametrize("rate", [0.1, 1e-3])
def test_a_round_is_the_papers_update_of_the_parameters(rate):
    """theta <- theta - eta g_NGDiff, from losses to parameters, five rounds."""
    model, naive = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    host = PlainHost(
        model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=rate)
    )
    strategy = NGDiff()
    for seed in range(5):
        batch = toy_pair(seed=seed, dtype=torch.float64)
        strategy.step(host, batch)
        parameters = list(naive.parameters())
        grads = {}
        for side in ("retain", "forget"):
            loss = naive.losses(batch[side]).mean()
            grads[side] = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
        theta = torch.nn.utils.parameters_to_vector(parameters)
        theta = theta - rate * paper_direction(grads["retain"], grads["forget"])
        torch.nn.utils.vector_to_parameters(theta.detach(), parameters)
    for found, expected in zip(model.parameters(), naive.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


# --------------------------------------------------------------------------------- Lemma 4, eq. 5

decades = st.floats(-5.0, 5.0)
component = st.floats(-1.0, 1.0, allow_subnormal=False).map(lambda x: x if abs(x) > 1e-3 else 0.0)
vector = st.lists(component, min_size=6, max_size=6).map(lambda v: torch.tensor(v, dtype=torch.float64))


@st.composite
def adversarial_pairs(draw):
    """Any two, nearly parallel or nearly opposite gradients, with zeros, lengths up to ten decades apart."""
    g_r = draw(vector)
    assume(g_r.norm() > 0)
    kind = draw(st.sampled_from(["any", "parallel", "opposite", "orthogonal"]))
    other = draw(vector)
    if kind == "parallel":
        other = g_r + 10.0 ** draw(st.floats(-12, -2)) * other
    elif kind == "opposite":
        other = -g_r + 10.0 ** draw(st.floats(-12, -2)) * other
    elif kind == "orthogonal":
        other = other - (other @ g_r) / (g_r @ g_r) * g_r
    assume(other.norm() > 1e-3)
    return g_r * 10.0 ** draw(decades), other * 10.0 ** draw(decades)


@given(adversarial_pairs())
@settings(max_examples=400, deadline=None)
def test_lemma_4_holds_for_any_two_gradients(pair):
    """g_R . d >= 0 >= g_F . d, to rounding; d itself from the strategy's own in-place code."""
    g_r, g_f = pair
    d = rule(g_r, g_f)
    assert (g_r @ d).item() >= -1e-14 * g_r.norm().item()
    grad_forget = -g_f
    assert (grad_forget @ d).item() <= 1e-14 * g_f.norm().item()


@given(adversarial_pairs(), st.sampled_from([torch.float32, torch.bfloat16]))
@settings(max_examples=200, deadline=None)
def test_lemma_4_holds_in_low_precision_to_its_rounding(pair, dtype):
    g_r, g_f = (g.to(dtype) for g in pair)
    d = rule(g_r, g_f).double()
    room = 8 * torch.finfo(dtype).eps
    assert (g_r.double() @ d).item() >= -room * g_r.double().norm().item()
    assert (g_f.double() @ d).item() >= -room * g_f.double().norm().item()


@given(adversarial_pairs())
@settings(max_examples=200, deadline=None)
def test_reported_effects_are_those_of_lemma_4(pair):
    """What is logged each round (Gram terms) is the product with the direction that was applied."""
    g_r, g_f = pair
    gram = gram_matrix([g_r], [g_f])
    weights = NGDiff().weights(gram, {})
    d = rule(g_r, g_f)
    assert gram.retain_effect(weights).item() == pytest.approx(
        (g_r @ d).item(), abs=1e-13 * g_r.norm().item()
    )
    assert gram.forget_effect(weights).item() == pytest.approx(
        (g_f @ d).item(), abs=1e-13 * g_f.norm().item()
    )
    # |d| = sqrt(2 (1 + cos)): the square root loses half of the digits where d vanishes.
    assert d.norm().item() == pytest.approx(math.sqrt(2 * (1 + gram.cosine.item())), abs=1e-7)


def test_properties():
    assert_non_conflicting(rule)
    assert_ignores_lengths(rule)
    assert_scaling(rule, degree=0)
    assert_symmetric(rule)
    assert_permutation_invariant(rule)
    assert_rotation_invariant(rule)
    assert_bounded(rule, 2.0)


@pytest.mark.parametrize("forget", [AscentNLL(), NPO(beta=1.0)])
def test_theorem_5_both_losses_fall_at_a_small_rate(forget):
    """Both minimised losses fall, for any forget objective."""
    for seed in range(10):
        model, batch = ToyClassifier(seed=seed, dtype=torch.float64), toy_pair(seed=seed, dtype=torch.float64)
        reference = ToyClassifier(seed=99, dtype=torch.float64)
        host = PlainHost(
            model,
            forget=forget,
            retain=NLL(),
            optimizer=torch.optim.SGD(model.parameters(), lr=1e-4),
            reference=lambda reference=reference: reference,
        )
        report = NGDiff().step(host, batch)
        for side in ("retain", "forget"):
            assert host.loss(side, batch).item() < report.losses[side].item()


# -------------------------------------------------------------------------------- against others


def test_agrees_with_imtl_g_of_torchjd_up_to_a_positive_factor():
    """For two tasks IMTL-G is NGDiff divided by 1/|g_r| + 1/|g_f| (our derivation; not in the paper).

    Torchjd's iterative and regularised aggregators are sound only for lengths that are alike.
    """
    aggregation = pytest.importorskip("torchjd.aggregation")
    imtl_g = aggregation.IMTLG()
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(25):
        g_r, g_f = torch.randn(2, 12, generator=generator, dtype=torch.float64)
        pairs.append((g_r, g_f * 10 ** (2 * torch.rand((), generator=generator).item() - 1)))
    assert_same_direction(rule, lambda g_r, g_f: imtl_g(torch.stack([g_r, g_f])), pairs, tolerance=1e-12)


def test_for_two_tasks_the_papers_imtl_g_is_its_c_t():
    """Item 7 of section 2.2 evaluated literally, in the paper's signs."""
    for g_r, g_f in hard_pairs()[:-2]:
        grad_forget = -g_f
        gap = grad_forget / grad_forget.norm() - g_r / g_r.norm()
        if gap.norm() < 1e-3:
            continue  # parallel likelihood gradients: 0 / 0 in the paper's formula
        c = (grad_forget @ gap) / ((grad_forget - g_r) @ gap)
        assert c.item() == pytest.approx(paper_c(g_r, grad_forget).item(), rel=1e-9)


# ----------------------------------------------------------------------------------- edge cases


def round_of(g_r, g_f, dtype=torch.float64, optimizer=torch.optim.SGD):
    """Make one round in which the two gradients are given; return report and displacement."""
    g_r, g_f = torch.as_tensor(g_r, dtype=dtype), torch.as_tensor(g_f, dtype=dtype)
    model = Given(torch.zeros(len(g_r), dtype=dtype))
    host = PlainHost(model, forget=NLL(), retain=NLL(), optimizer=optimizer(model.parameters(), lr=1.0))
    report = NGDiff().step(host, {"forget": g_f, "retain": g_r})
    assert host.round == 1
    return report, -model.theta.detach()


class Given(torch.nn.Module):
    """The loss of a 'batch' is its product with the parameters, so the batch is the gradient."""

    def __init__(self, theta):
        super().__init__()
        self.theta = torch.nn.Parameter(theta)

    def losses(self, batch):
        return (batch * self.theta).sum()[None]

    def counts(self, batch):
        return torch.ones(1)


def test_the_step_is_the_direction():
    report, moved = round_of([3.0, 4.0], [0.0, 2.0])
    assert moved.tolist() == pytest.approx([0.6, 1.8])
    assert report.skipped is None
    assert (report.weights.retain.item(), report.weights.forget.item()) == pytest.approx((0.2, 0.5))


@pytest.mark.parametrize(
    ("g_r", "g_f", "expected"),
    [([3.0, 4.0], [0.0, 0.0], [0.6, 0.8]), ([0.0, 0.0], [0.0, -5.0], [0.0, -1.0])],
)
def test_a_vanished_gradient_leaves_the_other_at_unit_length(g_r, g_f, expected):
    report, moved = round_of(g_r, g_f)
    assert moved.tolist() == pytest.approx(expected)
    assert report.skipped is None


def test_a_gradient_of_rounding_noise_counts_as_vanished():
    """1e-13 beside 1 is what cancellation left in float64: its unit vector would be noise at full length."""
    report, moved = round_of([1.0, 0.0], [0.0, 1e-13])
    assert moved.tolist() == [1.0, 0.0]
    assert report.weights.forget.item() == 0.0
    _, moved = round_of([1.0, 0.0], [0.0, 1e-10])
    assert moved.tolist() == pytest.approx([1.0, 1.0])


def test_parallel_gradients_add_up_to_length_two():
    _, moved = round_of([1.0, 1.0], [50.0, 50.0])
    assert moved.norm().item() == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0, 0.1, 7e4])
@pytest.mark.parametrize("size", [3, 1000, 300_000])
def test_opposite_gradients_are_skipped_in_every_precision(dtype, factor, size):
    """Rounding leaves a tiny d; AdamW would make full-size steps of it, so the step is not taken."""
    g_r = torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype)
    report, moved = round_of(g_r, (-factor * g_r).to(dtype), dtype, torch.optim.AdamW)
    assert report.skipped == "the gradients cancel"
    assert moved.abs().max() == 0


def test_nearly_opposite_gradients_are_not_skipped():
    """One degree from opposite there is a direction: orthogonal to both, 0.017 long."""
    angle = math.radians(179.0)
    report, moved = round_of([1.0, 0.0], [5 * math.cos(angle), 5 * math.sin(angle)], torch.float32)
    assert report.skipped is None
    assert moved.norm().item() == pytest.approx(2 * math.sin(math.radians(0.5)), rel=1e-3)


def test_unlearning_what_is_to_be_kept_moves_nothing():
    same = toy_batch(5)
    model = ToyClassifier()
    before = model.layer.weight.detach().clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)
    report = NGDiff().step(host, {"forget": same, "retain": same})
    assert report.skipped == "the gradients cancel"
    assert report.gram.cosine.item() == pytest.approx(-1.0)
    assert torch.equal(model.layer.weight, before)


def test_both_vanished_is_skipped():
    report, moved = round_of([0.0, 0.0], [0.0, 0.0])
    assert report.skipped == "the gradients vanish"
    assert moved.tolist() == [0.0, 0.0]


def test_weights_and_gram_stay_on_the_device():
    report, _ = round_of([3.0, 4.0], [0.0, 2.0])
    for value in (report.weights.retain, report.weights.forget, report.gram.rr, report.losses["retain"]):
        assert isinstance(value, torch.Tensor)
        assert value.shape == ()
