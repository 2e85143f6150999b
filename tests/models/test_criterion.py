"""WithCriterion: a module of one's own behind the model protocol."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import PlainHost
from unlearnkit.models import WithCriterion
from unlearnkit.models.criterion import per_sample_cross_entropy
from unlearnkit.objectives import NLL, NPO, AscentNLL, KLToReference
from unlearnkit.strategies import NGDiff
from unlearnkit.testing.toys import toy_batch, toy_pair


def test_losses_counts_and_units():
    model, batch = WithCriterion(nn.Linear(5, 3)), toy_batch(4)
    logits = model.network(batch["inputs"])
    assert torch.equal(model(batch), logits)
    expected = cross_entropy(logits, batch["targets"], reduction="none")
    torch.testing.assert_close(model.losses(batch), expected)
    assert model.counts(batch).tolist() == [1, 1, 1, 1]
    found, targets, mask = model.units(batch)
    assert found.shape == (4, 1, 3)
    assert torch.equal(found[:, 0], logits)
    assert targets[:, 0].tolist() == batch["targets"].tolist()
    assert mask.all()


def test_a_criterion_of_ones_own():
    model = WithCriterion(
        nn.Linear(5, 2), lambda outputs, targets: mse_loss(outputs, targets, reduction="none").sum(-1)
    )
    batch = toy_batch(4) | {"targets": torch.randn(4, 2)}
    expected = ((model(batch) - batch["targets"]) ** 2).sum(-1)
    torch.testing.assert_close(model.losses(batch), expected)


def test_targets_of_several_places_are_summed_by_sample():
    outputs, targets = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    found = per_sample_cross_entropy(outputs, targets)
    assert found.shape == (2,)
    assert found.sum().item() == pytest.approx(
        cross_entropy(outputs, targets, reduction="sum").item(), rel=1e-5
    )


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum")])
def test_a_criterion_that_reduces_is_refused(criterion):
    with pytest.raises(
        ConfigurationError, match=r"shape \(4,\)\. Found shape \(\)\. Build it with reduction='none'"
    ):
        WithCriterion(nn.Linear(5, 3), criterion).losses(toy_batch(4))


def test_outputs_and_targets_that_broadcast_are_refused_with_their_own_remedy():
    def squared(outputs, targets):
        return (outputs[:, :1] - targets).square()

    with pytest.raises(ConfigurationError, match=r"Found shape \(4, 4\)\. Sum over .* have one shape"):
        WithCriterion(nn.Linear(5, 3), squared).losses(toy_batch(4))


@pytest.mark.parametrize("retain", [NLL(), KLToReference()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("forget", [AscentNLL(), NPO()], ids=lambda o: type(o).__name__)
def test_every_objective_runs_on_it(forget, retain):
    model, target = WithCriterion(nn.Linear(5, 3)), WithCriterion(nn.Linear(5, 3))
    host = PlainHost(
        model,
        forget=forget,
        retain=retain,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        reference=lambda: target,
    )
    before = model.network.weight.detach().clone()
    report = NGDiff().step(host, toy_pair())
    assert report.skipped is None
    assert not torch.equal(model.network.weight, before)


def test_half_precision_units_are_widened():
    model = WithCriterion(nn.Linear(5, 3, dtype=torch.bfloat16))
    assert model.units(toy_batch(2, dtype=torch.bfloat16))[0].dtype == torch.float32
