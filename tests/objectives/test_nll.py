"""NLL against the golden vector."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.objectives import NLL


def test_sums_and_counts_are_those_of_the_golden_vector():
    value = NLL()(golden.current(), golden.batch())
    assert value.counts.tolist() == golden.COUNTS
    assert value.sums.tolist() == pytest.approx(golden.NLL_SUMS, rel=2e-9)
    reference = NLL()(golden.reference(), golden.batch())
    assert reference.sums.tolist() == pytest.approx(golden.REFERENCE_NLL_SUMS, rel=2e-9)


def test_the_loss_is_the_token_mean_and_not_the_mean_of_sequence_means():
    value = NLL()(golden.current(), golden.batch())
    loss = (value.sums.sum() / value.counts.sum()).item()
    assert loss == pytest.approx(golden.NLL_TOKEN_MEAN, rel=2e-9)
    assert abs(loss - golden.NLL_MEAN_OF_SEQUENCE_MEANS) > 0.04


def test_gradient_touches_the_scored_positions_only():
    """Logits at t predict the token at t + 1: rows (1, 2, 3) and (0, 1) are scored."""
    model = golden.current()
    NLL()(model, golden.batch()).sums.sum().backward()
    touched = (model.values.grad.abs().sum(-1) > 0).nonzero().tolist()
    assert touched == [[0, 1], [0, 2], [0, 3], [1, 0], [1, 1]]


def test_all_masked_is_zero_and_attached():
    model, batch = golden.current(), golden.batch()
    value = NLL()(model, batch | {"labels": torch.full_like(golden.LABELS, -100)})
    assert value.sums.tolist() == [0.0, 0.0]
    assert value.counts.tolist() == [0, 0]
    value.sums.sum().backward()
    assert model.values.grad.abs().max() == 0


def test_role_and_need_of_a_reference():
    assert (NLL.role, NLL.needs_reference) == ("retain", False)
    assert NLL().penalty(golden.current()) is None
