"""unlearn_in_sequence: each request from where the one before ended; later ones are kept until they come."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tests.study.test_unlearn import FORGET, RETAIN, trained
from unlearnkit.errors import DataError, UnknownNameError
from unlearnkit.study import unlearn
from unlearnkit.study.in_sequence import unlearn_in_sequence

FIRST, SECOND = FORGET[:4], FORGET[4:]


def test_it_is_one_call_after_the_other() -> None:
    model = trained()
    step = copy.deepcopy(model)
    found = unlearn_in_sequence(
        model, requests=[FIRST, SECOND], retain=RETAIN, method="ngdiff", lr=3e-3, rounds=5
    )
    for forget, kept in ((FIRST, SECOND + RETAIN), (SECOND, RETAIN)):
        unlearn(step, forget=forget, retain=kept, method="ngdiff", lr=3e-3, rounds=5)
    assert all(torch.equal(value, step.state_dict()[name]) for name, value in model.state_dict().items())
    assert [one.model is model for one in found] == [True, True]


def test_each_request_is_forgotten_and_the_next_is_kept_until_it_comes() -> None:
    first, second = unlearn_in_sequence(
        trained(), requests=[FIRST, SECOND], retain=RETAIN, method="ngdiff", lr=3e-3, rounds=30
    )
    assert first.before["forget"] < 0.1 and first.after["forget"] > 1.0
    assert second.before["forget"] < second.after["forget"]
    assert second.before["forget"] < first.after["forget"] / 2


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "none of them empty. Found none."),
        ([FIRST, []], r"none of them empty. Found sizes \[4, 0\]."),
        (
            [FIRST, FIRST],
            r"`requests\[0\]` cannot be forgotten. `forget` and `retain` must not share samples",
        ),
        ([FIRST[:2], SECOND, SECOND], r"`requests\[1\]` cannot be forgotten"),
        ([RETAIN[:2]], "must not share samples"),
    ],
)
def test_empty_and_overlapping_requests_are_refused(requests: list[Any], message: str) -> None:
    model = trained()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(DataError, match=message):
        unlearn_in_sequence(model, requests=requests, retain=RETAIN, rounds=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_arguments_are_those_of_unlearn() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ngdiff'"):
        unlearn_in_sequence(nn.Linear(5, 3), requests=[FIRST], retain=RETAIN, method="ngdif")
