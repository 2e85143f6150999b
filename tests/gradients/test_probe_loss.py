"""Evaluations along a displacement see the same noise, and leave modes and generators as they were."""

import pytest
import torch
from torch import nn

from unlearnkit.gradients.probe import Displacement
from unlearnkit.gradients.probe_loss import LossAlong, plain_loss
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.testing import ToyClassifier, toy_pair


def displaced(model):
    moved = Displacement(model)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1
    moved.measure()
    return moved


def test_the_noise_is_the_same_at_every_point_and_training_keeps_its_own():
    model = nn.Linear(3, 1)
    state = torch.get_rng_state()
    along = LossAlong(displaced(model), lambda: (torch.randn(()), torch.ones(())))
    assert along(-1.0) == along(0.0) == along(1.0)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_sum_is_divided_by_the_count_and_an_empty_batch_is_zero():
    along = LossAlong(displaced(nn.Linear(3, 1)), lambda: (torch.tensor(6.0), torch.tensor(4.0)))
    assert along(0.0) == 1.5
    assert along.count == 4.0
    empty = LossAlong(displaced(nn.Linear(3, 1)), lambda: (torch.tensor(0.0), torch.tensor(0.0)))
    assert empty(0.0) == 0.0


class WithParts(ToyClassifier):
    """Dropout that must be off in a probe, and a part frozen in eval mode that must stay so."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(5).eval()

    def forward(self, batch):
        return self.layer(self.dropout(self.frozen(batch["inputs"])))


def test_plain_loss_is_in_eval_mode_and_puts_every_mode_back():
    model, batch = WithParts(), toy_pair()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)
    values = [float(plain_loss(host, batch)[0]) for _ in range(3)]
    assert values[0] == values[1] == values[2]
    noisy = [float(host.loss("retain", batch).detach()) for _ in range(2)]
    assert noisy[0] != noisy[1]
    assert model.training and model.dropout.training and not model.frozen.training
    loss, count = plain_loss(host, batch)
    assert not loss.requires_grad
    assert float(count) == 1.0
    model.eval()
    assert values[0] == pytest.approx(float(host.loss("retain", batch).detach()), abs=0)
