"""AnswerPreservation against the golden vector and its equation."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives import golden
from tests.objectives.naive import log_sigmoid, random_batch, random_lm, sequence_sums
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import NLL, AnswerPreservation, AscentNLL


def current():
    return golden.RowLogits(golden.current().values.detach())


def test_it_is_the_golden_value_where_row_0_answers_and_row_1_refuses():
    value = AnswerPreservation(beta=0.1)(current(), golden.pair(0, 1))
    assert value.counts.tolist() == [1.0]
    assert golden.loss(value) == pytest.approx(golden.AP_ANSWER_0_REFUSAL_1, rel=2e-9)


@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_equals_the_equation_written_naively(beta):
    found = AnswerPreservation(beta)(current(), golden.pair(1, 0)).sums.item()
    advantage = golden.NLL_SUMS[0] - golden.NLL_SUMS[1]
    assert found == pytest.approx(-(1 / beta) * math.log(1 / (1 + math.exp(-beta * advantage))), rel=1e-7)


def test_as_beta_falls_it_learns_the_answer_and_unlearns_the_refusal_at_half_weight():
    found, expected, batch = current(), current(), golden.pair(0, 1)
    AnswerPreservation(beta=1e-7)(found, batch).sums.sum().backward()
    terms = NLL()(expected, batch).sums + AscentNLL()(expected, batch["alternative"]).sums
    (0.5 * terms).sum().backward()
    torch.testing.assert_close(found.values.grad, expected.values.grad, rtol=1e-5, atol=1e-8)


def test_what_is_missing_is_named():
    with pytest.raises(ConfigurationError, match="because AnswerPreservation compares with a second answer"):
        AnswerPreservation()(current(), golden.row_batch(0))
    with pytest.raises(ConfigurationError, match="`beta` must be above 0"):
        AnswerPreservation(-1.0)


def test_equals_the_equation_on_a_random_language_model():
    model, batch = random_lm(0), random_batch()
    answers, refusals = sequence_sums(model, batch), sequence_sums(model, batch["alternative"])
    expected = [-(1 / 0.5) * log_sigmoid(0.5 * (r - a)) for a, r in zip(answers, refusals, strict=True)]
    assert AnswerPreservation(0.5)(model, batch).sums.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert max(expected) > 2 * min(expected)
