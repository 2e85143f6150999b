"""DWA against its paper's formula, with spans of rounds for its epochs."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.strategies import DWA


def losses(retain, forget):
    return {
        "retain": torch.tensor(retain, dtype=torch.float64),
        "forget": torch.tensor(forget, dtype=torch.float64),
    }


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_weights_are_the_papers(temperature, every):
    """w_k = 2 exp(r_k/T) / sum_i exp(r_i/T), r = mean loss of the last span over that of the one before."""
    generator = torch.Generator().manual_seed(0)
    rounds = (1 + torch.rand(5 * every, 2, generator=generator, dtype=torch.float64)).tolist()
    strategy, spans = DWA(temperature, every), []
    for number, (retain, forget) in enumerate(rounds):
        weights = strategy.weights(losses(retain, forget))
        expected = (1.0, 1.0)
        if len(spans) >= 2:
            powers = [
                math.exp(last / before / temperature)
                for last, before in zip(spans[-1], spans[-2], strict=True)
            ]
            expected = tuple(2 * power / sum(powers) for power in powers)
        assert (weights.retain.item(), weights.forget.item()) == pytest.approx(expected, rel=1e-12)
        strategy.learn(losses(retain, forget))
        if (number + 1) % every == 0:
            span = rounds[number + 1 - every : number + 1]
            spans.append([sum(side) / every for side in zip(*span, strict=True)])


def test_an_ascended_loss_that_grows_in_size_loses_weight():
    strategy = DWA(every=1)
    for forget in (-1.0, -4.0):
        strategy.learn(losses(1.0, forget))
    weights = strategy.weights(losses(1.0, -8.0))
    powers = [math.exp(1 / 2), math.exp(1 / 4 / 2)]
    assert weights.forget.item() == pytest.approx(2 * powers[1] / sum(powers))


def test_a_loss_of_zero_leaves_finite_weights():
    strategy = DWA(every=1)
    for _ in range(2):
        strategy.learn(losses(0.0, -1.0))
    weights = strategy.weights(losses(0.0, -1.0))
    assert (weights.retain.item(), weights.forget.item()) == pytest.approx((1.0, 1.0))


def test_losses_are_saved():
    """Within a span and between two."""
    whole, half, rest = DWA(every=2), DWA(every=2), DWA(every=2)
    for number in range(7):
        whole.learn(losses(1.0 + number, 2.0))
        if number < 3:
            half.learn(losses(1.0 + number, 2.0))
    rest.load_state_dict(half.state_dict())
    for number in range(3, 7):
        rest.learn(losses(1.0 + number, 2.0))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name])
    assert whole.weights(losses(1.0, 1.0)).retain != 1


@pytest.mark.parametrize(
    "arguments", [{"temperature": 0.0}, {"temperature": math.nan}, {"every": 0}], ids=str
)
def test_arguments_lie_in_their_range(arguments):
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be .*Found.*Use"):
        DWA(**arguments)
