"""StartingPoint: back to the target's bits, buffers and an empty optimizer included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import FixedWeights
from unlearnkit.strategies.starting_point import StartingPoint, of_first_rank
from unlearnkit.testing.toys import ToyClassifier, toy_pair


class WithStatistics(ToyClassifier):
    """Counts its forward passes in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, batch):
        self.passes += 1
        return super().forward(batch)


def host_of(model):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    return PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)


def test_restore_puts_back_parameters_buffers_and_the_optimizer():
    model = WithStatistics()
    host, start = host_of(model), StartingPoint(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        FixedWeights().step(host, toy_pair())
    moved = [p.detach() - before[name] for name, p in model.named_parameters()]
    assert start.distance(host.parameters) == pytest.approx(
        torch.cat([part.flatten() for part in moved]).double().norm().item(), rel=1e-6
    )
    assert model.passes > 0
    start.restore(host)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not host.optimizer.state
    assert start.distance(host.parameters) == 0.0


def test_what_is_frozen_is_not_kept():
    model = ToyClassifier()
    model.layer.bias.requires_grad_(False)
    assert [tuple(part.shape) for part in StartingPoint(model).parameters] == [(3, 5)]


def test_the_digest_depends_on_every_byte():
    digests = {StartingPoint(ToyClassifier(seed=seed)).digest for seed in (0, 0, 1)}
    assert len(digests) == 2
    model = WithStatistics()
    first = StartingPoint(model).digest
    model.passes += 1
    assert StartingPoint(model).digest != first
    assert len(StartingPoint(nn.Linear(1, 1).bfloat16()).digest) == 16


def test_every_rank_gets_the_first_one_s_bits():
    class Ranked:
        def __init__(self, rank):
            self.place = (rank, 2)
            self.told = []

        def rank_sum(self, value):
            self.told.append(value.clone())
            return value

    value = torch.tensor([0.1, -3.0])
    first, second = Ranked(0), Ranked(1)
    of_first_rank(first, value)
    of_first_rank(second, value + 1e-7)
    assert torch.equal(first.told[0] + second.told[0], value)
    alone = host_of(ToyClassifier())
    assert of_first_rank(alone, value) is value
