"""WGA against the golden vector, the naive formula and gradient ascent."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import WGA, AscentNLL
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_the_token_mean_is_the_golden_value():
    assert golden.loss(WGA(1.0)(golden.current(), golden.batch())) == pytest.approx(
        golden.WGA_BETA_1, rel=2e-9
    )


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_loss_and_gradient_are_the_naive_ones_with_the_weight_held_fixed(beta):
    model, twin, batch = ToyClassifier(seed=1), ToyClassifier(seed=1), toy_batch(7)
    value = WGA(beta)(model, batch)
    golden_loss = value.sums.sum() / value.counts.sum()
    golden_loss.backward()
    p = twin(batch).softmax(-1)[range(7), batch["targets"]]
    expected = -((p.detach() ** beta) * -p.log()).mean()
    expected.backward()
    torch.testing.assert_close(golden_loss, expected)
    torch.testing.assert_close(model.layer.weight.grad, twin.layer.weight.grad)


def test_without_weights_it_is_gradient_ascent():
    found, expected = golden.current(), golden.current()
    WGA(0.0)(found, golden.batch()).sums.sum().backward()
    AscentNLL()(expected, golden.batch()).sums.sum().backward()
    torch.testing.assert_close(found.values.grad, expected.values.grad)


def test_refused():
    with pytest.raises(ConfigurationError, match=r"`beta` must be 0 or above\. Found -1"):
        WGA(-1.0)
