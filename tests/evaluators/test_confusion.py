"""Confusion against a naive count, and the part of it that a report shows."""

from __future__ import annotations

import math

import torch

from unlearnkit.evaluators.confusion import MOST, confusion, shown


def test_counts_are_those_of_a_naive_count() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(60, 5, generator=generator)
    labels = torch.randint(0, 5, (60,), generator=generator)
    naive = [[0] * 5 for _ in range(5)]
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        naive[label][row.index(max(row))] += 1
    assert confusion(scores.log_softmax(-1), labels) == naive


def test_images_without_an_answer_are_nobodys() -> None:
    scores = torch.tensor([[1.0, 0.0], [math.nan, 0.0], [math.nan, math.nan]])
    assert confusion(scores, torch.tensor([0, 0, 0])) == [[1, 0], [0, 0]]


def test_a_few_classes_are_shown_whole() -> None:
    tables = {"forget": [[3, 0], [1, 2]], "test": [[4, 0], [5, 0]]}
    random = shown(tables, ["a", "b"], [])
    assert (random["set"], random["forgotten"], random["classes"]) == ("forget", [], ["a", "b"])
    assert random["counts"] == {"a": {"a": 3}, "b": {"b": 2, "a": 1}}
    whole = shown(tables, ["a", "b"], [1])
    assert (whole["set"], whole["forgotten"]) == ("test", ["b"])
    assert whole["counts"] == {"a": {"a": 4}, "b": {"a": 5}}


def test_of_many_classes_the_forgotten_ones_are_shown_with_their_most_frequent_answers() -> None:
    table = [[(row * 7 + column) % 30 for column in range(30)] for row in range(30)]
    names = [f"c{place}" for place in range(30)]
    found = shown({"test": table, "forget": table}, names, [2, 5])
    assert found["classes"] == [] and list(found["counts"]) == ["c2", "c5"]
    assert list(found["counts"]["c5"].values()) == list(range(29, 29 - MOST, -1))
    assert shown({"test": table, "forget": table}, names, [])["counts"] == {}
    many = shown({"test": table, "forget": table}, names, range(25))
    assert len(many["counts"]) == len(many["forgotten"]) == MOST
