"""AscentNLL against the golden vector."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.objectives import NLL, AscentNLL


def test_is_minus_the_golden_vector():
    value = AscentNLL()(golden.current(), golden.batch())
    assert value.sums.tolist() == pytest.approx([-s for s in golden.NLL_SUMS], rel=2e-9)
    assert value.counts.tolist() == golden.COUNTS
    assert (value.sums.sum() / value.counts.sum()).item() == pytest.approx(-golden.NLL_TOKEN_MEAN, rel=2e-9)


def test_descending_on_it_raises_the_likelihood_loss():
    """Both sides are minimised: ascent lies in the objective, not in the optimizer."""
    model, batch = golden.current(), golden.batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = NLL()(model, batch).sums.sum().item()
    AscentNLL()(model, batch).sums.sum().backward()
    optimizer.step()
    assert NLL()(model, batch).sums.sum().item() > before + 0.5


def test_role():
    assert (AscentNLL.role, AscentNLL.needs_reference) == ("forget", False)
