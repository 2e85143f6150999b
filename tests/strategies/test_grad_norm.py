"""GradNorm against algorithm 3 of paper 001 (scalar norms), its weight gradients taken by autograd."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import gram_matrix
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, NPO, AscentNLL
from unlearnkit.strategies import GradNorm
from unlearnkit.testing.given import given_round
from unlearnkit.testing.properties import assert_edge_cases
from unlearnkit.testing.toys import ToyClassifier, toy_pair


def naive_weights(weights, lengths, losses, first, alpha, lr):
    """Lines 9 to 15: L_GN = sum |w_i G_i - mean(w G) r_i^alpha|, targets held constant; SGD; sum 2."""
    w = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    measured = w * torch.tensor(lengths, dtype=torch.float64)
    ratios = [
        abs(now / before) if before > 0 else abs(before / now)
        for now, before in zip(losses, first, strict=True)
    ]
    target = (
        measured.mean().detach() * (torch.tensor(ratios, dtype=torch.float64) / (sum(ratios) / 2)) ** alpha
    )
    (measured - target).abs().sum().backward()
    moved = (w - lr * w.grad).detach().clamp_min(1e-3)
    return (2 * moved / moved.sum()).tolist()


@pytest.mark.parametrize("layer", [None, "bias"])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_rounds_are_algorithm_3(alpha, layer):
    """Five rounds of SGD: each moves along this round's weights, then the weights move."""
    model, naive = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    host = PlainHost(
        model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    strategy = GradNorm(alpha=alpha, lr=0.1, layer=layer)
    weights, first, seen = [1.0, 1.0], None, []
    for seed in range(5):
        batch = toy_pair(seed=seed, dtype=torch.float64)
        strategy.step(host, batch)
        named = dict(naive.named_parameters())
        losses = [naive.losses(batch["retain"]).mean(), -naive.losses(batch["forget"]).mean()]
        grads = [dict(zip(named, torch.autograd.grad(loss, named.values()), strict=True)) for loss in losses]
        for name, parameter in named.items():
            parameter.data -= 0.1 * (weights[0] * grads[0][name] + weights[1] * grads[1][name])
        first = first or [loss.item() for loss in losses]
        lengths = [
            torch.cat([g.flatten() for name, g in found.items() if (layer or "") in name]).norm().item()
            for found in grads
        ]
        weights = naive_weights(weights, lengths, [loss.item() for loss in losses], first, alpha, 0.1)
        assert strategy.factors.tolist() == pytest.approx(weights, rel=1e-11)
        seen.append(weights[0])
    assert len(set(seen)) == 5
    for found, expected in zip(model.parameters(), naive.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_at_alpha_0_the_two_lengths_become_equal():
    strategy = GradNorm(alpha=0.0, lr=0.01)
    losses = {"retain": torch.tensor(1.0), "forget": torch.tensor(-1.0)}
    gram = gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 1.0])])
    for _ in range(200):
        strategy.learn(gram, losses)
    retain, forget = strategy.factors.tolist()
    assert 3 * retain == pytest.approx(forget, rel=0.1)
    assert retain + forget == pytest.approx(2)


@pytest.mark.parametrize(
    ("forget", "falls"),
    [((-1.0, -5.0), True), ((-5.0, -1.0), False), ((5.0, 1.0), True), ((1.0, 5.0), False)],
)
def test_a_forget_side_that_is_ahead_loses_weight(forget, falls):
    """An ascended loss (negative) is ahead when it grows in size, any other one when it falls."""
    strategy = GradNorm(alpha=1.0, lr=0.1)
    gram = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 1.0])])
    for value in forget:
        strategy.learn(gram, {"retain": torch.tensor(1.0), "forget": torch.tensor(value)})
    assert (strategy.factors[1].item() < 1) == falls


def test_weights_stay_above_0():
    strategy = GradNorm(alpha=0.0, lr=10.0)
    gram = gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 1.0])])
    strategy.learn(gram, {"retain": torch.tensor(1.0), "forget": torch.tensor(1.0)})
    assert 0 < strategy.factors[0].item() < 2e-3


def test_edge_cases():
    """Weights are learned, so the retain loss would rise for b = -3a: exactly opposite gradients are skipped."""
    assert_edge_cases(GradNorm)


def test_it_learns_only_from_rounds_in_which_both_gradients_are_there():
    strategy = GradNorm(lr=0.1)
    given_round(strategy, [1.0, 0.0], [0.0, 0.0])
    given_round(strategy, [1.0, 0.0], [0.0, 1.0], held=["forget"])
    given_round(strategy, [1.0, 0.0], [-1.0, 0.0])  # skipped
    assert strategy.factors.tolist() == [1.0, 1.0]
    assert strategy.first.isnan().all()
    given_round(strategy, [1.0, 0.0], [0.0, 2.0])
    assert strategy.factors.tolist() != [1.0, 1.0]
    assert not strategy.first.isnan().any()


def test_weights_and_first_losses_are_saved():
    """A stopped and resumed run makes the same rounds as one that goes through."""

    def run(rounds, strategy, model):
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        host = PlainHost(
            model,
            forget=NPO(),
            retain=NLL(),
            optimizer=sgd,
            reference=lambda: ToyClassifier(dtype=torch.float64),
        )
        for seed in rounds:
            strategy.step(host, toy_pair(seed=seed, dtype=torch.float64))

    whole, half, rest = GradNorm(lr=0.3), GradNorm(lr=0.3), GradNorm(lr=0.3)
    a, b = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    run(range(6), whole, a)
    run(range(3), half, b)
    rest.load_state_dict(half.state_dict())
    run(range(3, 6), rest, b)
    assert torch.equal(a.layer.weight, b.layer.weight)
    assert torch.equal(whole.factors, rest.factors)


def test_a_layer_that_is_not_there_is_refused_with_the_names():
    model = ToyClassifier()
    host = PlainHost(
        model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    with pytest.raises(
        ConfigurationError, match=r"`layer` must be.*Found 'head'.*layer\.weight, layer\.bias"
    ):
        GradNorm(layer="head").step(host, toy_pair())


@pytest.mark.parametrize(
    "arguments", [{"alpha": -1.0}, {"alpha": math.nan}, {"lr": 0.0}, {"lr": math.inf}], ids=str
)
def test_arguments_lie_in_their_range(arguments):
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be .*Found.*Use"):
        GradNorm(**arguments)
