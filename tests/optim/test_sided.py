"""What both optimizers with state by side share."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.host import PlainHost, side_argument
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.optim import DualOptim, DualOptimPlus, SidedOptimizer
from unlearnkit.optim.sided import require_parameters
from unlearnkit.strategies import ForgetOnly, NGDiff, RetainOnly
from unlearnkit.testing import ToyClassifier, toy_pair

MAKERS: dict[str, Any] = {
    "DualOptim": lambda p: DualOptim(p, partial(AdamW, lr=0.1), partial(SGD, lr=0.1)),
    "DualOptimPlus": lambda p: DualOptimPlus(p, lr=0.1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_hosts_tell_it_the_side(name: str) -> None:
    optimizer: SidedOptimizer = MAKERS[name]([nn.Parameter(torch.zeros(1))])
    assert side_argument(optimizer, "forget") == {"side": "forget"}


@pytest.mark.parametrize("strategy", [NGDiff, RetainOnly, ForgetOnly])
@pytest.mark.parametrize("name", MAKERS)
def test_a_strategy_whose_steps_are_not_one_sides_is_refused(name: str, strategy: Any) -> None:
    """Without a side nothing would move, and nobody would notice."""
    model = ToyClassifier()
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=MAKERS[name](model.parameters()))
    with pytest.raises(
        ConfigurationError, match=rf"`optimizer` {name} keeps a state for each side.*Alternate"
    ):
        strategy().step(host, toy_pair())


def test_parameters_come_as_a_list_an_iterator_or_groups() -> None:
    p, q = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    assert require_parameters(iter([p, q]), "X") == [{"params": [p, q]}]
    group = {"params": iter([q]), "lr": 0.5}
    assert require_parameters([{"params": p}, group], "X") == [{"params": [p]}, {"params": [q], "lr": 0.5}]
    assert set(group) == {"params", "lr"}


@pytest.mark.parametrize("name", MAKERS)
def test_states_are_tensors_named_after_their_side(name: str) -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = MAKERS[name]([p])
    p.grad = torch.ones(2)
    optimizer.step(side="retain")
    assert {key.partition("/")[0] for key in optimizer.state[p]} <= {"base", "forget", "retain"}
    assert all(isinstance(value, torch.Tensor) for value in optimizer.state[p].values())


@pytest.mark.parametrize(
    "make", [lambda p: DualOptimPlus(p, lr=0.1), lambda p: DualOptim(p, torch.optim.SGD, torch.optim.SGD)]
)
def test_what_would_lose_the_sides_states_is_refused(make):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = make([weight])
    with pytest.raises(UnknownNameError, match=r"`side` must be one of: forget, retain\. Found 'forgot'"):
        optimizer.step(side="forgot")
    with pytest.raises(ConfigurationError, match=r"must all be given when it is built"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    with pytest.raises(ConfigurationError, match=r"must not be copied"):
        copy.deepcopy(optimizer)


@pytest.mark.parametrize(
    "bad", [{"lr": float("inf")}, {"weight_decay": float("nan")}, {"v_floor": float("nan")}]
)
def test_numbers_that_are_none_are_refused(bad):
    with pytest.raises(ConfigurationError, match=r"Found (inf|nan)"):
        DualOptimPlus([torch.nn.Parameter(torch.ones(2))], **({"lr": 0.1} | bad))
