"""Fisher information of a frozen model and the distance that it weighs, against numbers written out."""

from __future__ import annotations

import pytest
import torch

from tests.objectives.tiny_diffusion import TinyDiffusion, diffusion_batch
from unlearnkit.objectives.sample_fisher import fisher_distance, gradients_on, sample_fisher


def test_it_is_the_mean_of_squared_gradients_of_the_frozen_model():
    target = TinyDiffusion().requires_grad_(False)
    batches = [diffusion_batch(3, seed=1), diffusion_batch(5, seed=2)]
    with gradients_on(target):
        found = sample_fisher(target, batches)
    free, expected = TinyDiffusion(), torch.zeros_like(target.layer.weight)
    for batch in batches:
        free.zero_grad()
        (free.losses(batch).sum() / free.counts(batch).sum()).backward()
        expected += free.layer.weight.grad.square() / 2
    torch.testing.assert_close(found["layer.weight"], expected)
    assert list(found) == ["layer.weight", "layer.bias"]
    assert not any(p.requires_grad or p.grad is not None for p in target.parameters())


def test_a_model_is_frozen_again_after_an_error():
    target = TinyDiffusion().requires_grad_(False)
    with pytest.raises(RuntimeError, match="broken"), gradients_on(target):
        raise RuntimeError("broken")
    assert not target.layer.weight.requires_grad


def test_the_distance_is_weighed_and_reaches_the_model_alone():
    model, target = TinyDiffusion(seed=1), TinyDiffusion(seed=2)
    fisher = {name: torch.rand_like(p) for name, p in target.named_parameters()}
    found = fisher_distance(model, target, fisher)
    expected = sum(
        (fisher[name] * (p - dict(target.named_parameters())[name]) ** 2).sum()
        for name, p in model.named_parameters()
    )
    torch.testing.assert_close(found, expected)
    found.backward()
    apart = model.layer.bias - target.layer.bias
    torch.testing.assert_close(model.layer.bias.grad, (2 * fisher["layer.bias"] * apart).detach())
    assert target.layer.bias.grad is None


def test_weights_that_are_not_trained_are_left_out():
    model, target = TinyDiffusion(seed=1), TinyDiffusion(seed=2)
    model.layer.weight.requires_grad_(False)
    found = fisher_distance(model, target, {"layer.bias": torch.ones(4, dtype=torch.float64)})
    torch.testing.assert_close(found, (model.layer.bias - target.layer.bias).square().sum())
