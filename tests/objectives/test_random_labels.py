"""RandomLabels: which labels, and the loss to them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives import RandomLabels
from unlearnkit.testing.toys import ToyClassifier, toy_batch

INDEX = torch.arange(20_000)
TARGETS = INDEX % 10


def test_drawn_once_they_are_wrong_uniform_and_the_same_each_time():
    objective = RandomLabels(seed=3)
    labels = objective.labels(TARGETS, INDEX, 10)
    assert not (labels == TARGETS).any()
    shifts = torch.bincount((labels - TARGETS) % 10, minlength=10)[1:].double()
    expected = len(INDEX) / 9
    chi = ((shifts - expected) ** 2 / expected).sum().item()
    assert chi < 26.1, "chi-squared with 8 degrees of freedom, 0.1 %"
    assert torch.equal(labels, objective.labels(TARGETS, INDEX, 10))
    some = torch.tensor([17, 3, 1999])
    assert torch.equal(objective.labels(TARGETS[some], INDEX[some], 10), labels[some]), (
        "a function of the row alone"
    )
    assert not torch.equal(labels, RandomLabels(seed=4).labels(TARGETS, INDEX, 10))


def test_neighbouring_rows_and_seeds_are_not_alike():
    shifts = [(RandomLabels(seed=s).labels(TARGETS, INDEX, 10) - TARGETS) % 10 for s in (0, 1)]
    assert ((shifts[0] == shifts[1]).double().mean() - 1 / 9).abs() < 0.01
    assert ((shifts[0][1:] == shifts[0][:-1]).double().mean() - 1 / 9).abs() < 0.01


def test_drawn_every_round_all_classes_come_and_the_global_seed_decides():
    objective = RandomLabels("every_round")
    torch.manual_seed(5)
    labels = objective.labels(TARGETS, INDEX, 10)
    assert 0.08 < (labels == TARGETS).double().mean() < 0.12
    assert not torch.equal(labels, objective.labels(TARGETS, INDEX, 10))
    torch.manual_seed(5)
    assert torch.equal(labels, objective.labels(TARGETS, INDEX, 10))


def test_the_loss_is_the_cross_entropy_to_them():
    model, batch, objective = ToyClassifier(seed=1), toy_batch(6), RandomLabels(seed=2)
    value = objective(model, batch)
    labels = objective.labels(batch["targets"], batch["index"], 3)
    torch.testing.assert_close(value.sums, cross_entropy(model(batch), labels, reduction="none"))
    assert value.counts.tolist() == [1.0] * 6
    value.sums.sum().backward()
    assert model.layer.weight.grad.abs().max() > 0


def test_one_class_alone_has_no_other():
    assert RandomLabels().labels(torch.zeros(3, dtype=torch.int64), torch.arange(3), 1).tolist() == [0, 0, 0]


def test_refused():
    with pytest.raises(UnknownNameError, match="`draw` must be one of: every_round, once. Found 'twice'"):
        RandomLabels("twice")
