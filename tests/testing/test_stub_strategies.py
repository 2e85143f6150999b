"""The stub strategies do what the tests that use them rely on."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, NPO, AscentNLL
from unlearnkit.strategies import ForgetOnly, NGDiff
from unlearnkit.testing import AlternatingStub, ReweightedStub, ToyClassifier, Weighted, toy_batch, toy_pair


def host_of(model, forget=None, rate=0.1):
    return PlainHost(
        model,
        forget=forget or AscentNLL(),
        retain=NLL(),
        optimizer=torch.optim.SGD(model.parameters(), lr=rate),
    )


def test_half_steps_are_plain_steps_divided_by_one_plus_the_running_mean():
    model, expected = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    strategy, batch = AlternatingStub(2, 1), toy_pair(dtype=torch.float64)
    report = strategy.step(host_of(model), batch)
    mean = {"forget": 0.0, "retain": 0.0}
    for side, sign in (("forget", -1), ("forget", -1), ("retain", 1)):
        loss = sign * expected.losses(batch[side]).mean()
        mean[side] = 0.9 * mean[side] + 0.1 * abs(loss.item())
        gradients = torch.autograd.grad(loss, list(expected.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient / (1 + mean[side])
    for found, wanted in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)
    assert strategy.means.tolist() == pytest.approx([mean["forget"], mean["retain"]], rel=1e-14)
    start = ToyClassifier(dtype=torch.float64).losses(batch["forget"]).mean()
    assert report.losses["forget"].item() == pytest.approx(-start.item())
    assert report.skipped is None


def test_a_half_step_without_a_gradient_is_left_out_and_the_others_are_made():
    """A retain batch without a sample has loss and gradient zero."""
    batch = toy_pair()
    batch["retain"] = {name: value[:0] for name, value in batch["retain"].items()}
    model, forget_only = ToyClassifier(), ToyClassifier()
    strategy = AlternatingStub(2, 3)
    assert strategy.step(host_of(model), batch).skipped is None
    AlternatingStub(2, 0).step(host_of(forget_only), batch)
    assert strategy.skipped_half_steps.item() == 3
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), forget_only.parameters(), strict=True))


def test_a_round_without_any_step_says_why():
    empty = {name: value[:0] for name, value in toy_batch(2).items()}
    strategy = AlternatingStub(1, 1)
    report = strategy.step(host_of(ToyClassifier()), {"forget": empty, "retain": empty})
    assert report.skipped == "the gradients vanish"


def test_its_state_steers_the_parameters():
    found = []
    for mean in (0.0, 5.0):
        model, strategy = ToyClassifier(), AlternatingStub()
        strategy.means.fill_(mean)
        strategy.step(host_of(model), toy_pair())
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert not torch.allclose(*found)


@pytest.mark.parametrize("steps", [(-1, 3), (0, 0)])
def test_half_steps_must_be_there(steps):
    with pytest.raises(ConfigurationError, match="`forget_steps` and `retain_steps` must be 0 or above"):
        AlternatingStub(*steps)


def test_weights_multiply_sums_and_counts_by_index():
    weighted = Weighted(NLL(), rows=9)
    weighted.weights.copy_(torch.arange(9.0))
    batch = toy_batch(3) | {"index": torch.tensor([8, 0, 2])}
    plain = NLL()(ToyClassifier(), batch)
    found = weighted(ToyClassifier(), batch)
    assert torch.equal(found.sums, plain.sums * torch.tensor([8.0, 0.0, 2.0]))
    assert found.counts.tolist() == [8.0, 0.0, 2.0]
    assert Weighted(NPO(), 1).needs_reference
    assert not weighted.needs_reference


def test_weights_change_every_few_rounds_as_the_losses_say():
    model, forget = ToyClassifier(), Weighted(AscentNLL(), rows=4)
    strategy = ReweightedStub(ForgetOnly(), forget, every=2)
    host = host_of(model, forget)
    strategy.step(host, toy_pair())
    assert torch.equal(forget.weights, torch.ones(4, dtype=torch.float64))
    loss = strategy.step(host, toy_pair()).losses["forget"].item()
    assert forget.weights.tolist() == pytest.approx([1 + 0.5 * math.sin(i * loss) for i in (1, 2, 3, 4)])
    assert strategy.sides == ("forget",)
    assert not strategy.normalized
    assert ReweightedStub(NGDiff(), forget).normalized
    assert not strategy.state_dict()
    assert set(forget.state_dict()) == {"weights"}
