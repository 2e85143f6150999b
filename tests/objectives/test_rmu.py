"""RMU: towards one fixed vector, at one block, with a vector that survives a resume."""

from __future__ import annotations

import pytest
import torch

from tests.modules.tiny import tiny_lm, tokens
from tests.objectives import golden
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives import RMU


def test_equals_the_equation_written_naively():
    model, batch, objective = tiny_lm(layers=3), tokens(5, seed=1), RMU(layer=1, coefficient=3.0, seed=4)
    value = objective(model, batch)
    generator = torch.Generator().manual_seed(4)
    u = torch.rand(16, generator=generator)
    output = model.network(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
    )
    for row in range(5):
        answer = batch["labels"][row] != -100
        states = output.hidden_states[2][row][answer]  # the first is the embedding
        expected = ((states - 3.0 * u / u.norm()) ** 2).mean()
        assert value.sums[row].item() == pytest.approx(expected.item(), rel=1e-5)
    assert value.counts.tolist() == [1.0] * 5


def test_only_blocks_up_to_the_layer_learn_and_every_weight_has_a_gradient():
    """DDP waits for the gradient of every weight."""
    model = tiny_lm(layers=3)
    RMU(layer=1)(model, tokens(3, seed=1)).sums.sum().backward()
    moved = {
        name: bool(p.grad.abs().max() > 0)
        for name, p in model.named_parameters()
        if p.grad is not None and ".mlp." in name
    }
    assert all(p.grad is not None for p in model.parameters())
    assert {name.split(".")[3]: found for name, found in moved.items()} == {"0": True, "1": True, "2": False}


def test_parity_is_the_product_of_two_means():
    model, batch = tiny_lm(), tokens(4, seed=1)
    exact = RMU(layer=0)(model, batch)
    n = (batch["labels"] != -100).sum(-1)
    expected = (exact.sums * n).mean() * (1 / n).mean()
    assert golden.loss(RMU(layer=0, parity="open-unlearning")(model, batch)) == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_the_vector_is_a_function_of_the_seed_and_saved_once_it_is_drawn():
    first, second = RMU(layer=0, seed=1), RMU(layer=0, seed=2)
    assert not first.state_dict()
    first(tiny_lm(), tokens(2, seed=1))
    assert torch.equal(first.control(16), RMU(seed=1).control(16))
    assert not torch.equal(first.control(16), second.control(16))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.control(16), second.control(16))
    assert first.control(16).norm().item() == pytest.approx(2.0)


def test_the_vector_stays_where_it_was_needed():
    objective, device = RMU(layer=0), torch.device("meta")
    assert objective.control(16).device.type == "cpu"
    assert objective.control(16, device).is_meta and objective.direction.is_meta
    assert objective.control(16).is_meta
    moved = objective.direction
    objective.control(16, device)
    assert objective.direction is moved


@pytest.mark.parametrize("drawn", [False, True])
def test_a_loaded_vector_of_another_width_is_refused(drawn):
    saved, objective = RMU(layer=0), RMU(layer=0)
    saved.control(8)
    if drawn:
        objective.control(16)
    objective.load_state_dict(saved.state_dict())
    with pytest.raises(ConfigurationError, match=r"`model` must be as wide .* states of 16 .* of 8\."):
        objective(tiny_lm(), tokens(2, seed=1))


@pytest.mark.parametrize("layer", [-1, 2])
def test_a_layer_that_is_not_there_is_refused(layer):
    with pytest.raises(ConfigurationError, match=rf"`layer` must be from 0 to 1.*Found {layer}"):
        RMU(layer=layer)(tiny_lm(layers=2), tokens(2, seed=1))


def test_refused():
    with pytest.raises(ConfigurationError, match="`coefficient` must be above 0"):
        RMU(coefficient=0.0)
    with pytest.raises(UnknownNameError, match="`parity` must be one of"):
        RMU(parity="tofu")
