"""Typed batches and the pair of one round."""

from __future__ import annotations

import dataclasses

import pytest

from unlearnkit.batches import IGNORE, SIDES, LabelledBatch, QARow, TokenBatch, micro_batches


def test_micro_batches_of_a_list_a_tuple_and_a_single_batch():
    one, two = {"inputs": 1}, {"inputs": 2}
    assert micro_batches({"forget": one, "retain": [one, two]}, "forget") == [one]
    assert micro_batches({"forget": one, "retain": [one, two]}, "retain") == [one, two]
    assert micro_batches({"forget": (one, two), "retain": one}, "forget") == [one, two]


def test_micro_batches_returns_a_new_list():
    given = [1, 2]
    micro_batches({"forget": given, "retain": given}, "forget").append(3)
    assert given == [1, 2]


def test_a_side_that_is_not_there_is_an_error_and_no_default():
    with pytest.raises(KeyError):
        micro_batches({"retain": 1}, "forget")


def test_sides_and_the_ignored_label_are_what_torch_and_the_methods_expect():
    import torch

    assert SIDES == ("forget", "retain")
    logits = torch.randn(2, 3)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([IGNORE, 1]), reduction="none")
    assert loss[0] == 0


def test_every_batch_carries_the_index_of_its_samples():
    assert "index" in TokenBatch.__annotations__
    assert "index" in LabelledBatch.__annotations__


def test_a_row_is_frozen_and_complete_with_question_and_answer_alone():
    row = QARow(3, "Who?", "She.")
    assert (row.paraphrased_answer, row.perturbed_answers, row.value) == (None, (), None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.answer = "He."
