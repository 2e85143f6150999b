"""Losses far beyond what a probability in fp32 can hold, and a model that says nothing."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.evaluators.predictions import Predictions


def predictions(logits: list[list[float]], labels: list[int]) -> Predictions:
    return Predictions(torch.tensor(logits).log_softmax(-1), torch.tensor(labels), torch.arange(len(labels)))


def test_a_loss_has_no_ceiling() -> None:
    """The probability of a label 5000 nats down is 0 in fp32, whose smallest number is e^-103."""
    found = predictions([[5000.0, 0.0], [0.0, 0.0]], [1, 0])
    assert found.losses.tolist() == pytest.approx([5000.0, math.log(2)])
    assert found.probabilities.tolist() == [[1.0, 0.0], pytest.approx([0.5, 0.5])]


def test_no_answer_is_not_right() -> None:
    found = predictions([[math.nan, 1.0], [2.0, 1.0], [math.inf, 1.0]], [0, 0, 0])
    assert found.answered.tolist() == [False, True, False]
    assert found.right.tolist() == [0.0, 1.0, 0.0]


def test_a_class_that_is_ruled_out_is_an_answer() -> None:
    found = predictions([[0.0, -math.inf]], [0])
    assert found.answered.tolist() == [True] and found.losses.tolist() == [0.0]
