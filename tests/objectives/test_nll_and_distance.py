"""NLLAndDistance: the likelihood of the data to keep, and the distance from the target's weights."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import PlainHost
from unlearnkit.modules.cached_reference import CachedReference
from unlearnkit.objectives import NLL, AscentNLL, NLLAndDistance
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def gradients(objective, batch, target=None):
    model = ToyClassifier(seed=1, dtype=torch.float64)
    host = PlainHost(
        model,
        forget=AscentNLL(),
        retain=objective,
        optimizer=SGD(model.parameters(), lr=0.1),
        reference=None if target is None else lambda: target,
    )
    return host.gradients("retain", {"forget": None, "retain": batch})


def test_loss_and_gradient_are_the_naive_ones_whatever_the_micro_batches():
    batch, target = toy_batch(6, dtype=torch.float64), ToyClassifier(seed=2, dtype=torch.float64)
    model = ToyClassifier(seed=1, dtype=torch.float64)
    squares = sum(
        (a - b.detach()).square().sum() for a, b in zip(model.parameters(), target.parameters(), strict=True)
    )
    expected = 0.5 * model.losses(batch).mean() + 0.25 * squares
    expected.backward()
    cut = [{name: value[rows] for name, value in batch.items()} for rows in (slice(0, 1), slice(1, 6))]
    for given in (batch, cut):
        loss, found = gradients(NLLAndDistance(0.5, 0.25), given, target)
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(found, [p.grad for p in model.parameters()])
    assert all(p.grad is None for p in target.parameters())


def test_at_the_target_it_is_the_likelihood_alone():
    batch, target = toy_batch(6, dtype=torch.float64), ToyClassifier(seed=1, dtype=torch.float64)
    loss, found = gradients(NLLAndDistance(), batch, target)
    expected = gradients(NLL(), batch)
    assert torch.equal(loss, expected[0])
    torch.testing.assert_close(found, expected[1])


def test_weights_that_do_not_move_do_not_count():
    model, target = ToyClassifier(seed=1), ToyClassifier(seed=2)
    model.layer.bias.requires_grad_(False)
    squares = (model.layer.weight - target.layer.weight).square().sum()
    torch.testing.assert_close(NLLAndDistance().penalty(model, lambda: target), squares)


def test_what_is_missing_is_named():
    objective = NLLAndDistance()
    with pytest.raises(ConfigurationError, match="NLLAndDistance compares with the target"):
        objective.penalty(ToyClassifier())
    with pytest.raises(
        ConfigurationError, match=r"Found a reference of type CachedReference\. Set cache_reference"
    ):
        objective.penalty(ToyClassifier(), lambda: CachedReference())
    with pytest.raises(ConfigurationError, match="`alpha` must be 0 or above"):
        NLLAndDistance(alpha=-1.0)
    with pytest.raises(ConfigurationError, match="`gamma` must be 0 or above"):
        NLLAndDistance(gamma=-1.0)
