"""DPO against the golden vector, its equation and its gradient at the target."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives import golden
from tests.objectives.naive import log_sigmoid, random_batch, random_lm, sequence_sums
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives import DPO, IDK, AscentNLL


def current():
    return golden.RowLogits(golden.current().values.detach())


def reference():
    return golden.RowLogits(golden.reference().values.detach())


def test_it_is_the_golden_value_where_row_1_is_preferred_to_row_0():
    value = DPO(beta=0.1)(current(), golden.pair(0, 1), reference)
    assert value.counts.tolist() == [1.0]
    assert golden.loss(value) == pytest.approx(golden.DPO_WIN_1_LOSE_0, rel=2e-9)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("lost", "won"), [(0, 1), (1, 0)])
def test_equals_the_equation_written_naively(beta, lost, won):
    found = DPO(beta)(current(), golden.pair(lost, won), reference).sums.item()
    ratio = [s - r for s, r in zip(golden.NLL_SUMS, golden.REFERENCE_NLL_SUMS, strict=True)]
    margin = ratio[lost] - ratio[won]
    assert found == pytest.approx(-(2 / beta) * math.log(1 / (1 + math.exp(-beta * margin))), rel=1e-7)


def test_its_gradient_at_the_target_is_ascent_on_one_answer_and_descent_on_the_other():
    found, expected, batch = current(), current(), golden.pair(0, 1)
    DPO(beta=0.3)(found, batch, current).sums.sum().backward()
    (AscentNLL()(expected, batch).sums + IDK()(expected, batch).sums).sum().backward()
    torch.testing.assert_close(found.values.grad, expected.values.grad, rtol=1e-5, atol=1e-8)


def test_no_gradient_reaches_the_reference():
    frozen = reference()
    DPO()(current(), golden.pair(0, 1), lambda: frozen).sums.sum().backward()
    assert frozen.values.grad is None


def test_what_is_missing_is_named():
    with pytest.raises(ConfigurationError, match=r"`batch` must hold an `alternative` because DPO compares"):
        DPO()(current(), golden.row_batch(0), reference)
    with pytest.raises(ConfigurationError, match="DPO compares with the target"):
        DPO()(current(), golden.pair(0, 1))
    with pytest.raises(ConfigurationError, match="`beta` must be above 0"):
        DPO(0.0)


def test_equals_the_equation_on_random_language_models():
    model, target, batch = random_lm(0), random_lm(1), random_batch()
    value = DPO(beta=0.5)(model, batch, lambda: target)
    lost, lost_ref = (sequence_sums(net, batch) for net in (model, target))
    won, won_ref = (sequence_sums(net, batch["alternative"]) for net in (model, target))
    expected = [
        -(2 / 0.5) * log_sigmoid(0.5 * ((a - b) - (c - d)))
        for a, b, c, d in zip(lost, lost_ref, won, won_ref, strict=True)
    ]
    assert value.sums.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert max(expected) > 2 * min(expected)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("lost", "won"), [(0, 1), (1, 0)])
def test_ipo_and_hinge_equal_their_equations_written_naively(beta, lost, won):
    ratio = [s - r for s, r in zip(golden.NLL_SUMS, golden.REFERENCE_NLL_SUMS, strict=True)]
    margin = ratio[lost] - ratio[won]
    naive = {"ipo": (margin - 1 / (2 * beta)) ** 2, "hinge": max(0.0, 1 - beta * margin) / beta}
    for loss, expected in naive.items():
        found = DPO(beta, loss)(current(), golden.pair(lost, won), reference)
        assert found.sums.item() == pytest.approx(expected, rel=1e-7, abs=1e-12)
        assert found.counts.tolist() == [1.0]


def test_a_hinge_is_flat_and_ipo_turns_where_the_margin_is_large_enough():
    batch = golden.pair(1, 0)  # a margin of about 2.76 nats
    flat, turning = current(), current()
    DPO(1.0, "hinge")(flat, batch, reference).sums.sum().backward()
    assert not flat.values.grad.any()
    DPO(1.0, "ipo")(turning, batch, reference).sums.sum().backward()
    with torch.no_grad():
        moved = golden.RowLogits(turning.values - 0.05 * turning.values.grad)
    lost, won = (model.losses(batch) - model.losses(batch["alternative"]) for model in (turning, moved))
    assert won.item() < lost.item(), "beyond 1/(2 beta) the margin is brought back"


def test_a_loss_that_does_not_exist():
    with pytest.raises(UnknownNameError, match="`loss` must be one of: hinge, ipo, sigmoid. Found 'ip'"):
        DPO(loss="ip")
