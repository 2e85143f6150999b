"""SatImp against the golden vector, the naive formula and WGA."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import WGA, SatImp
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_the_token_mean_is_the_golden_value():
    assert golden.loss(SatImp(5.0, 1.0)(golden.current(), golden.batch())) == pytest.approx(
        golden.SATIMP_5_1, rel=2e-8
    )


@pytest.mark.parametrize(("beta1", "beta2"), [(5.0, 1.0), (0.0, 2.0), (1.0, 0.5)])
def test_loss_and_gradient_are_the_naive_ones_with_the_weight_held_fixed(beta1, beta2):
    model, twin, batch = ToyClassifier(seed=1), ToyClassifier(seed=1), toy_batch(7)
    value = SatImp(beta1, beta2)(model, batch)
    (value.sums.sum() / value.counts.sum()).backward()
    p = twin(batch).softmax(-1)[range(7), batch["targets"]]
    weight = (p**beta1 * (1 - p) ** beta2).detach()
    (-(weight * -p.log()).mean()).backward()
    torch.testing.assert_close(model.layer.weight.grad, twin.layer.weight.grad)


def test_without_importance_it_is_wga():
    model, batch = golden.current(), golden.batch()
    assert torch.equal(SatImp(2.0, 0.0)(model, batch).sums, WGA(2.0)(model, batch).sums)


@pytest.mark.parametrize(("arguments", "name"), [((-1.0, 1.0), "beta1"), ((1.0, -1.0), "beta2")])
def test_refused(arguments, name):
    with pytest.raises(ConfigurationError, match=f"`{name}` must be 0 or above"):
        SatImp(*arguments)
