"""UNDIAL against the golden vector, its fixed point, and the public code's own number."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.modules.tiny import tiny_lm, tokens
from tests.objectives import golden
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives import UNDIAL
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_the_mean_over_answer_tokens_is_the_golden_value():
    value = UNDIAL(beta=10.0)(golden.current(), golden.batch(), golden.reference)
    assert golden.loss(value) == pytest.approx(golden.UNDIAL_BETA_10, rel=2e-9)


def test_equals_the_equation_written_naively():
    model, teacher, batch = ToyClassifier(seed=1), ToyClassifier(seed=2), toy_batch(7)
    lowered = teacher(batch).detach().clone()
    lowered[range(7), batch["targets"]] -= 3.0
    expected = cross_entropy(model(batch), lowered.softmax(-1), reduction="none")
    torch.testing.assert_close(UNDIAL(3.0)(model, batch, lambda: teacher).sums, expected)


def test_nothing_lowered_the_target_stays_where_it_is():
    model = golden.current()
    UNDIAL(0.0)(model, golden.batch(), golden.current).sums.sum().backward()
    assert model.values.grad.abs().max() < 1e-12


def test_parity_is_open_unlearnings_own_number():
    """Its loss, transcribed: -100 indexes the vocabulary from its end, and every position counts."""
    model, teacher = (tiny_lm(vocabulary=130, seed=seed) for seed in (0, 1))
    batch = tokens(4, seed=3)
    with torch.no_grad():
        for net in (model, teacher):
            for weight in net.parameters():
                weight.mul_(10.0)  # fresh ones answer almost uniformly
        shifted, student, target = batch["labels"][:, 1:], model(batch)[:, :-1], teacher(batch)[:, :-1]
        mask = torch.zeros_like(target)
        mask[torch.arange(4).view(-1, 1, 1), torch.arange(8).view(1, -1, 1), shifted.unsqueeze(-1)] = 1.0
        soft = (target - mask * 5.0).softmax(-1)
        expected = cross_entropy(student.flatten(0, 1), soft.flatten(0, 1), reduction="none").mean()
    value = UNDIAL(5.0, parity="open-unlearning")(model, batch, lambda: teacher)
    assert golden.loss(value) == pytest.approx(expected.item(), rel=1e-5)
    assert golden.loss(UNDIAL(5.0)(model, batch, lambda: teacher)) != pytest.approx(expected.item(), rel=1e-3)


def test_refused():
    with pytest.raises(ConfigurationError, match="`beta` must be 0 or above"):
        UNDIAL(-1.0)
    with pytest.raises(UnknownNameError, match="`parity` must be one of"):
        UNDIAL(parity="tofu")
    with pytest.raises(ConfigurationError, match=r"a vocabulary of 100 tokens or more.*Found 4"):
        UNDIAL(parity="open-unlearning")(golden.current(), golden.batch(), golden.reference)
