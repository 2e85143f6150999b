"""Differences, forward mode and the per-sample loop agree, and the model is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.modules.tiny import tiny_lm, tokens
from unlearnkit.alignment import ExactJ
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.gradients import inner_products
from unlearnkit.objectives import NPO, AscentNLL
from unlearnkit.synthetic.toy_preferences import toy_preferences, toy_prompts, toy_reward, toy_tokens
from unlearnkit.testing.tiny_gpt import toy_sides, toy_target
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def loop(losses, model, batches, direction):
    """Return the inner products by one backward pass per sample."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = []
    for batch in batches:
        for loss in losses(batch):
            gradient = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            parts = [
                (g.double() * v.double()).sum()
                for g, v in zip(gradient, direction, strict=True)
                if g is not None
            ]
            found.append(torch.stack(parts).sum())
    return torch.stack(found)


def random_direction(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(p.shape, generator=generator).to(p.dtype) for p in model.parameters() if p.requires_grad
    ]


def ascent(model):
    return lambda batch: AscentNLL()(model, batch).sums


@pytest.mark.parametrize(("method", "tolerance"), [("difference", 1e-8), ("jvp", 1e-13)])
def test_equals_the_per_sample_loop_in_float64(method, tolerance):
    model = ToyClassifier(dtype=torch.float64)
    batches = [toy_batch(size, seed=size, dtype=torch.float64) for size in (3, 1, 5)]
    v = random_direction(model)
    found = inner_products(ascent(model), model, batches, v, method)
    want = loop(ascent(model), model, batches, v)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("method", "tolerance"), [("difference", 2e-3), ("jvp", 1e-5)])
def test_equals_the_per_sample_loop_on_a_language_model(method, tolerance):
    """A Llama with torch's fused attention, which has no forward mode; relative to the largest product."""
    model, target = tiny_lm(), tiny_lm(seed=1)
    batches = [tokens(4, 0), tokens(3, 1)]
    v = random_direction(model)
    for objective in (AscentNLL(), NPO()):

        def losses(batch, objective=objective):
            return objective(model, batch, lambda: target).sums

        found, want = inner_products(losses, model, batches, v, method), loop(losses, model, batches, v)
        assert ((found - want).abs() / want.abs().max()).max().item() < tolerance


@pytest.mark.parametrize("seed", [0, 1])
def test_the_step_suits_a_trained_model(seed):
    """The cube root of the precision is too long a step there: losses bend within it, and signs turn."""
    model, pairs = toy_target(0.0, seed), toy_sides(toy_preferences())[0]
    batch = toy_tokens([pair.prompt for pair in pairs], [pair.rejected for pair in pairs], first=0)
    towards = ExactJ(toy_prompts(), toy_reward, words=8, length=4).gradient(model)
    found, want = (
        inner_products(ascent(model), model, [batch], towards, method) for method in ("difference", "jvp")
    )
    clear = want.abs() > 0.03 * want.abs().max()
    assert (found - want).norm() < 0.03 * want.norm() and ((found > 0) == (want > 0))[clear].all()


@pytest.mark.parametrize("method", ["difference", "jvp"])
def test_the_model_is_left_bit_for_bit_as_it_was(method):
    model = tiny_lm(dropout=0.3)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inner_products(ascent(model), model, [tokens(4, 0)], random_direction(model), method)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_the_model_is_put_back_when_a_loss_raises():
    model = ToyClassifier()
    before = model.layer.weight.detach().clone()

    def broken(batch):
        raise OSError("no more data")

    with pytest.raises(OSError, match="no more data"):
        inner_products(broken, model, [toy_batch(2)], random_direction(model))
    assert torch.equal(model.layer.weight, before)


def test_dropout_is_off():
    model = tiny_lm(dropout=0.5)
    v, batches = random_direction(model), [tokens(4, 0)]
    model.train()
    noisy = inner_products(ascent(model), model, batches, v)
    model.eval()
    assert torch.equal(noisy, inner_products(ascent(model), model, batches, v))


def test_autocast_is_off():
    model = tiny_lm()
    v, batches = random_direction(model), [tokens(4, 0)]
    plain = inner_products(ascent(model), model, batches, v)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(inner_products(ascent(model), model, batches, v), plain)


def test_no_direction_has_products_of_zero_and_no_batch_has_none():
    model = ToyClassifier()
    zeros = [torch.zeros_like(p) for p in model.parameters()]
    assert inner_products(ascent(model), model, [toy_batch(3)], zeros).tolist() == [0.0] * 3
    for method in ("difference", "jvp"):
        assert inner_products(ascent(model), model, [], random_direction(model), method).tolist() == []


def test_frozen_parameters_take_no_part():
    model = ToyClassifier(dtype=torch.float64)
    model.layer.bias.requires_grad_(False)
    v, batches = random_direction(model), [toy_batch(3, dtype=torch.float64)]
    assert len(v) == 1
    for method in ("difference", "jvp"):
        torch.testing.assert_close(
            inner_products(ascent(model), model, batches, v, method),
            loop(ascent(model), model, batches, v),
            rtol=1e-8,
            atol=1e-8,
        )


class NoForwardMode(torch.autograd.Function):
    """The identity, with a backward pass alone."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_an_operation_without_forward_mode_is_named_with_the_way_out():
    model = nn.Linear(2, 1)

    def losses(batch):
        return NoForwardMode.apply(model(batch))[:, 0]

    v = random_direction(model)
    with pytest.raises(ConfigurationError, match=r"forward mode of every operation.*method='difference'"):
        inner_products(losses, model, [torch.ones(3, 2)], v, "jvp")
    assert len(inner_products(losses, model, [torch.ones(3, 2)], v)) == 3


def test_bad_arguments_are_refused():
    model, batches = ToyClassifier(), [toy_batch(2)]
    v = random_direction(model)
    with pytest.raises(UnknownNameError, match="`method` must be one of: difference, jvp"):
        inner_products(ascent(model), model, batches, v, "loop")
    with pytest.raises(ConfigurationError, match="Found 1 tensors for 2 parameters"):
        inner_products(ascent(model), model, batches, v[:1])
    with pytest.raises(ConfigurationError, match="Found 2 samples, then 0"):
        inner_products(ascent(model), model, iter(batches), v)


def test_half_precision_is_refused_for_differences():
    model = ToyClassifier().bfloat16()
    batches = [toy_batch(2, dtype=torch.bfloat16)]
    with pytest.raises(ConfigurationError, match=r"fp32 or finer.*Found bfloat16.*method='jvp'"):
        inner_products(ascent(model), model, batches, random_direction(model))
    assert len(inner_products(ascent(model), model, batches, random_direction(model), "jvp")) == 2
