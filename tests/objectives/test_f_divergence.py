"""FDivergence: each kind against its generator f, zero at the target, bounds."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives import FDivergence, KLToReference
from unlearnkit.objectives.f_divergence import DIVERGENCES
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def middle(t):
    return torch.log((1 + t) / 2)


GENERATORS = {
    "kl": lambda t: t * t.log(),
    "reverse_kl": lambda t: -t.log(),
    "js": lambda t: 0.5 * (t * t.log() - (1 + t) * middle(t)),
    "hellinger": lambda t: 0.5 * (1 - t.sqrt()) ** 2,
    "chi2": lambda t: (t - 1) ** 2,
    "tv": lambda t: 0.5 * (t - 1).abs(),
}
"""f of the docstring's table."""

KINDS = sorted(GENERATORS)


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_sum_over_classes_of_p_times_f(kind):
    model, reference, batch = ToyClassifier(seed=1), ToyClassifier(seed=2), toy_batch(7)
    p, p_ref = model(batch).softmax(-1), reference(batch).softmax(-1)
    value = FDivergence(kind)(model, batch, lambda: reference)
    torch.testing.assert_close(value.sums, (p * GENERATORS[kind](p_ref / p)).sum(-1), rtol=1e-4, atol=1e-6)
    assert value.counts.tolist() == [1] * 7


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_target_it_is_zero_and_elsewhere_above(kind):
    model = golden.current()
    value = FDivergence(kind)(model, golden.batch(), golden.current)
    assert value.sums.abs().max() < 1e-12
    if kind != "tv":  # whose slope jumps there
        value.sums.sum().backward()
        assert model.values.grad.abs().max() < 1e-12
    assert (FDivergence(kind)(golden.current(), golden.batch(), golden.reference).sums > 0).all()


def test_kl_is_the_one_that_everybody_uses():
    value = FDivergence("kl")(golden.current(), golden.batch(), golden.reference)
    expected = KLToReference()(golden.current(), golden.batch(), golden.reference)
    torch.testing.assert_close(value.sums, expected.sums)
    assert golden.loss(value) == pytest.approx(golden.KL_MASKED_AND_SHIFTED, rel=2e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_chi2_alone_overflows_and_beyond_88_only(kind):
    sure, divergence = torch.tensor([0.0, -200.0]), DIVERGENCES[kind]
    assert divergence(sure, torch.tensor([-88.5, 0.0])).isfinite()
    assert divergence(sure, torch.tensor([-89.0, 0.0])).isfinite() == (kind != "chi2")


@pytest.mark.parametrize(("kind", "most"), [("js", math.log(2)), ("hellinger", 1.0), ("tv", 1.0)])
def test_bounds_are_reached_by_distributions_apart(kind, most):
    model, other, batch = ToyClassifier(seed=1), ToyClassifier(seed=1), toy_batch(3)
    with torch.no_grad():
        for net, column in ((model, 0), (other, 1)):
            net.layer.weight.zero_()
            net.layer.bias.zero_()[column] = 1e3
    value = FDivergence(kind)(model, batch, lambda: other).sums
    value.sum().backward()
    assert value.tolist() == pytest.approx([most] * 3)
    assert torch.isfinite(model.layer.bias.grad).all()


def test_refused():
    with pytest.raises(UnknownNameError, match="`kind` must be one of"):
        FDivergence("renyi")
    with pytest.raises(ConfigurationError, match="FDivergence compares with the target"):
        FDivergence()(golden.current(), golden.batch())
