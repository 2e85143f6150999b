"""HiddenToReference: RMU's retain side."""

from __future__ import annotations

import pytest

from tests.modules.tiny import tiny_lm, tokens
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import HiddenToReference


def test_equals_the_equation_written_naively():
    model, target, batch = tiny_lm(seed=0), tiny_lm(seed=1), tokens(5, seed=1)
    value = HiddenToReference(layer=0)(model, batch, lambda: target)
    states = []
    for net in (model, target):
        found = []
        hook = net.network.model.layers[0].register_forward_hook(lambda b, i, o, found=found: found.append(o))
        net(batch)
        hook.remove()
        states.append(found[0])
    for row in range(5):
        answer = batch["labels"][row] != -100
        expected = (states[0][row][answer] - states[1][row][answer]).square().mean()
        assert value.sums[row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_at_the_target_it_is_zero_with_zero_gradient_and_the_target_has_none():
    model, target = tiny_lm(), tiny_lm()
    value = HiddenToReference(layer=0)(model, tokens(3, seed=1), lambda: target)
    value.sums.sum().backward()
    assert value.sums.abs().max() == 0
    assert all(p.grad.abs().max() == 0 for p in model.parameters())
    assert all(p.grad is None for p in target.parameters())


def test_without_a_reference_it_says_how_to_give_one():
    with pytest.raises(ConfigurationError, match="HiddenToReference compares with the target"):
        HiddenToReference()(tiny_lm(), tokens(2, seed=1))
