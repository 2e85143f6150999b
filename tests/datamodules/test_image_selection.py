"""Forget sets: who is chosen, and what is refused."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.datamodules import ForgetSet
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError

CLASSES = ("cat", "dog", "frog")
LABELS = torch.tensor([0, 1, 2] * 20)


def chosen(**arguments):
    return ForgetSet(**arguments).choose(LABELS, CLASSES)


def test_a_fraction_is_drawn_over_all_classes():
    forget, retain = chosen(fraction=0.25)
    assert len(forget) == 15 and sorted(forget + retain) == list(range(60))
    assert len(set(LABELS[forget].tolist())) == 3
    assert forget == chosen(fraction=0.25)[0]
    assert forget != chosen(fraction=0.25, seed=1)[0]


@pytest.mark.parametrize("named", [["dog"], [1], ["dog", "frog"], [1, "frog"]])
def test_classes_by_name_or_number(named):
    forget, retain = chosen(classes=named)
    wanted = {1, 2} if len(named) == 2 else {1}
    assert set(LABELS[forget].tolist()) == wanted
    assert not set(LABELS[retain].tolist()) & wanted


def test_some_of_a_class():
    forget, retain = chosen(classes=["dog"], count=5)
    assert len(forget) == 5 and set(LABELS[forget].tolist()) == {1}
    assert len(retain) == 55
    _, others = chosen(classes=["dog"], count=5, retain="other_classes")
    assert len(others) == 40 and 1 not in LABELS[others].tolist()


def test_a_class_named_twice_is_drawn_from_once():
    assert len(chosen(classes=["dog", 1, "dog"], count=5)[0]) == 5


def test_what_is_a_name_and_a_number_is_a_name():
    forget, _ = ForgetSet(classes=[1]).choose(LABELS, ("1", "2", "3"))
    assert set(LABELS[forget].tolist()) == {0}


def test_given_rows():
    assert chosen(rows=[7, 3])[0] == [3, 7]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"fraction": 0.1}, "10 % at random"),
        ({"classes": ["dog", "cat"]}, "dog, cat"),
        ({"classes": ["dog"], "count": 500}, "500 of dog"),
        ({"rows": [1, 2]}, "2 given rows"),
    ],
)
def test_names(arguments, name):
    assert ForgetSet(**arguments).name == name


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ConfigurationError, "exactly one.*Found none of them"),
        ({"fraction": 0.1, "rows": [1]}, ConfigurationError, "exactly one.*Found fraction, rows"),
        ({"fraction": 1.0}, ConfigurationError, "between 0 and 1. Found 1.0"),
        ({"fraction": 0.1, "count": 3}, ConfigurationError, "Found 3 without classes"),
        ({"classes": ["dog"], "count": 0}, ConfigurationError, "at least 1"),
        ({"fraction": 0.1, "retain": "other_classes"}, ConfigurationError, "only beside classes"),
        ({"fraction": 0.1, "retain": "rest"}, UnknownNameError, "Found 'rest'"),
        ({"classes": ["dgo"]}, UnknownNameError, "Did you mean 'dog'"),
        ({"classes": [3]}, UnknownNameError, "Found '3'"),
        ({"classes": ["dog"], "count": 21}, DataError, "Found 21 of class 'dog', which has 20"),
        ({"rows": [60]}, DataError, "from 0 to 59.*Found row 60"),
        ({"rows": list(range(60))}, DataError, "fewer than all. Found 60 rows"),
        ({"rows": [4, 5, 4]}, DataError, "each once.*Found 3 rows, 2 of them different"),
        ({"fraction": 0.001}, DataError, "no forget image among 60"),
        ({"classes": ["cat", "dog", "frog"]}, DataError, "no retain image among 60"),
    ],
)
def test_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        chosen(**arguments)
