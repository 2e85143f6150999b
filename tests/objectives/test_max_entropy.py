"""MaxEntropy against the golden vector and torch's own divergence."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from tests.objectives import golden
from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives import MaxEntropy
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_the_token_mean_is_the_golden_value():
    assert golden.loss(MaxEntropy()(golden.current(), golden.batch())) == pytest.approx(
        golden.ME_MASKED, rel=1e-9
    )


def test_uniform_comes_first():
    """KL(U || p), as torch.distributions computes it; the other direction is another number."""
    model, batch = ToyClassifier(seed=1), toy_batch(7)
    value = MaxEntropy()(model, batch).sums
    p, uniform = Categorical(logits=model(batch)), Categorical(logits=torch.zeros(7, 3))
    torch.testing.assert_close(value, kl_divergence(uniform, p), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(value, kl_divergence(p, uniform), rtol=1e-2)


def test_a_uniform_prediction_has_no_loss_and_no_gradient():
    model = golden.GivenLogits(torch.full((2, 5, 4), 3.0, dtype=torch.float64))
    value = MaxEntropy()(model, golden.batch())
    value.sums.sum().backward()
    assert value.sums.abs().max() < 1e-14
    assert model.values.grad.abs().max() < 1e-14


def test_all_positions_are_those_of_the_authors_scripts():
    value = MaxEntropy("all")(golden.current(), golden.batch())
    assert value.counts.tolist() == [4, 4]
    p = golden.current().values.detach()[:, :-1].softmax(-1)
    naive = (0.25 * (math.log(0.25) - torch.log(p + 1e-12))).sum(-1).mean()
    assert golden.loss(value) == pytest.approx(naive.item(), rel=1e-9)


def test_refused():
    with pytest.raises(UnknownNameError, match="`positions` must be one of"):
        MaxEntropy("question")
