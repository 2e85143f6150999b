"""LogitMargin against its equation, and the public code's number."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives import LogitMargin
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_equals_the_equation_written_naively():
    z = golden.current().values.detach()
    value = LogitMargin()(golden.current(), golden.batch())
    scored = [[(0, 1), (0, 2), (0, 3)], [(1, 0), (1, 1)]]
    for found, places in zip(value.sums.tolist(), scored, strict=True):
        assert found == pytest.approx(sum(float((z[p].max() - z[p].mean()) ** 2) for p in places))
    assert value.counts.tolist() == golden.COUNTS


def test_parity_is_the_golden_value():
    value = LogitMargin(parity="open-unlearning")(golden.current(), golden.batch())
    assert golden.loss(value) == pytest.approx(golden.PDU_AS_CODED, rel=2e-9)
    assert golden.loss(LogitMargin()(golden.current(), golden.batch())) != pytest.approx(
        golden.PDU_AS_CODED, rel=1e-3
    )


def test_equal_logits_have_no_loss_and_no_gradient():
    model = golden.GivenLogits(torch.full((2, 5, 4), 3.0, dtype=torch.float64))
    value = LogitMargin()(model, golden.batch())
    value.sums.sum().backward()
    assert (value.sums.abs().max(), model.values.grad.abs().max()) == (0, 0)


def test_refused():
    with pytest.raises(UnknownNameError, match="`parity` must be one of"):
        LogitMargin(parity="tofu")
    with pytest.raises(
        ConfigurationError, match=r"`parity` of LogitMargin must be 'paper' where data are no token"
    ):
        LogitMargin(parity="open-unlearning")(ToyClassifier(), toy_batch(2))
