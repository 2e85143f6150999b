"""unlearn: one call for any module with a loss and two data sets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.study import unlearn
from unlearnkit.testing import toy_dataset

FORGET, RETAIN = toy_dataset(8, seed=0), toy_dataset(24, seed=1)


def trained() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 3))
    inputs = torch.stack([x for x, _ in FORGET + RETAIN])
    targets = torch.tensor([y for _, y in FORGET + RETAIN])
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(300):
        adam.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        adam.step()
    return model


def test_it_forgets_and_says_what_it_cost() -> None:
    result = unlearn(trained(), forget=FORGET, retain=RETAIN, method="ngdiff", lr=3e-3, rounds=40)
    assert result.before["forget"] < 0.1 and result.after["forget"] > 1.0
    assert result.after["retain"] < result.after["forget"] / 2
    assert len(result.log) == result.rounds == 40
    assert "forget loss" in str(result) and "40 rounds" in str(result)


@pytest.mark.parametrize("method", ["gd", "ga", "gdiff", "lossnorm", "npo", "npo_gd", "ga_kl", "ngdiff_gen"])
def test_every_kind_of_method_runs_on_a_plain_module(method: str) -> None:
    model = trained()
    before = copy.deepcopy(model.state_dict())
    assert unlearn(model, forget=FORGET, retain=RETAIN, method=method, rounds=2).rounds == 2
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_loss_of_ones_own_is_used() -> None:
    calls: list[int] = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(len(targets))
        return cross_entropy(outputs, targets, reduction="none", label_smoothing=0.1)

    unlearn(trained(), forget=FORGET, retain=RETAIN, loss=loss, rounds=1)
    assert calls


def test_a_reduced_loss_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="reduction='none'"):
        unlearn(trained(), forget=FORGET, retain=RETAIN, loss=cross_entropy, rounds=1)


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = (
        unlearn(trained(), forget=FORGET, retain=RETAIN, rounds=3, seed=5).model.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"forget": []}, DataError, "`forget` must hold at least one sample"),
        ({"retain": iter([])}, DataError, "`retain` must be a map-style data set"),
        ({"method": "ngdif"}, UnknownNameError, "Did you mean 'ngdiff'"),
        ({"lr": -1.0}, ConfigurationError, "Learning rates must be 0 or above"),
        ({"rounds": 0}, ConfigurationError, "`rounds` must be at least 1"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        unlearn(trained(), **{"forget": FORGET, "retain": RETAIN, **options})
