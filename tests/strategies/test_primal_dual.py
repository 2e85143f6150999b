"""PrimalDual: the multiplier's path, and a loss that comes to the bound."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import PrimalDual
from unlearnkit.testing.toys import ToyClassifier, toy_pair


def losses(retain, forget=1.0):
    return {
        "retain": torch.tensor(retain, dtype=torch.float64),
        "forget": torch.tensor(forget, dtype=torch.float64),
    }


def test_the_multiplier_is_the_published_rule():
    strategy, expected = PrimalDual(epsilon=0.5, rate=2.0, start=1.0), 1.0
    for retain in (0.7, 0.1, -3.0, 0.4, 2.5):
        weights = strategy.weights(losses(retain))
        assert (weights.retain.item(), weights.forget.item()) == (pytest.approx(expected, abs=1e-12), 1.0)
        strategy.learn(losses(retain))
        expected = max(0.0, expected + 2.0 * (retain - 0.5))


def test_it_stays_where_it_is_while_warming_up():
    strategy = PrimalDual(start=4.0, warmup=3)
    for round_ in range(5):
        strategy.round = round_
        strategy.learn(losses(1.3))
        assert strategy.multiplier.item() == pytest.approx(4.0 + max(0, round_ - 2))


def test_the_retain_loss_comes_down_to_what_is_tolerated():
    """Without a price the ascent ruins the retain data; with it their loss comes to rest near epsilon."""
    ends = {}
    for rate in (0.0, 0.5):
        model, batch = ToyClassifier(seed=1, dtype=torch.float64), toy_pair(8, 12, dtype=torch.float64)
        strategy = PrimalDual(epsilon=0.6, rate=rate, start=0.2)
        optimizer = SGD(model.parameters(), lr=0.2, weight_decay=0.02)
        host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)
        for _ in range(250):
            strategy.step(host, batch)
        ends[rate] = host.loss("retain", batch).item()
    assert ends[0.0] > 2.0
    assert ends[0.5] == pytest.approx(0.6, abs=0.1)


def test_the_multiplier_is_part_of_the_state():
    strategy, other = PrimalDual(epsilon=0.0), PrimalDual(start=7.0)
    strategy.learn(losses(2.0))
    other.load_state_dict(strategy.state_dict())
    assert other.multiplier.item() == 3.0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"epsilon": float("nan")}, "epsilon"),
        ({"rate": -1.0}, "rate"),
        ({"start": -1.0}, "start"),
        ({"warmup": -1}, "warmup"),
    ],
)
def test_refused(arguments, name):
    with pytest.raises(ConfigurationError, match=f"`{name}` must be"):
        PrimalDual(**arguments)
