"""DualOptim: two optimizers of torch that share parameters and nothing else, as one."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR

from unlearnkit.errors import ConfigurationError, MismatchError
from unlearnkit.optim import DualOptim

PAIRS: dict[str, tuple[Any, Any]] = {
    "adamw-adamw": (
        partial(AdamW, lr=0.02, weight_decay=0.1),
        partial(AdamW, lr=0.05, betas=(0.8, 0.9), weight_decay=0.2),
    ),
    "fused-adamw-sgd": (partial(AdamW, lr=0.02, fused=True), partial(SGD, lr=0.1, momentum=0.9)),
    "sgd-amsgrad": (partial(SGD, lr=0.1), partial(Adam, lr=0.01, amsgrad=True)),
    "nadam-rmsprop": (partial(NAdam, lr=0.02), partial(RMSprop, lr=0.01, momentum=0.5, centered=True)),
    "dampened-nesterov": (
        partial(SGD, lr=0.1, momentum=0.9, dampening=0.3),
        partial(SGD, lr=0.05, momentum=0.8, nesterov=True),
    ),
}
ORDER = ["forget", "retain", "retain", "forget", "retain", "forget", "forget", "retain"]


def parameters(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes: list[tuple[int, ...]] = [(3, 4), (5,), ()]
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in shapes
    ]


def fill(params: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("allocated", [False, True])
def test_it_is_the_two_optimizers_side_by_side(pair: str, allocated: bool) -> None:
    """Bit for bit; also where all states were allocated before the first step, as distributed checkpoints do."""
    forget, retain = PAIRS[pair]
    ours, theirs = parameters(), parameters()
    optimizer = DualOptim(ours, forget, retain)
    two = {"forget": forget(theirs), "retain": retain(theirs)}
    if allocated:
        fill(ours, 0)
        optimizer.step(closure=None)
        assert all(map(torch.equal, ours, theirs))
    for step, side in enumerate(ORDER * 3):
        fill(ours, step)
        fill(theirs, step)
        optimizer.step(side=side)
        two[side].step()
        assert all(map(torch.equal, ours, theirs)), f"step {step}"


@pytest.mark.parametrize("pair", PAIRS)
def test_names_of_states_are_the_same_from_the_first_step_on(pair: str) -> None:
    """Else a checkpoint written before the other side's first step could not be read."""
    ours = parameters()
    optimizer = DualOptim(ours, *PAIRS[pair])
    fill(ours, 0)
    optimizer.step(side="forget")
    first = {p: set(optimizer.state[p]) for p in ours}
    for step, side in enumerate(ORDER):
        fill(ours, step)
        optimizer.step(side=side)
    assert {p: set(optimizer.state[p]) for p in ours} == first
    assert all(isinstance(v, torch.Tensor) for p in ours for v in optimizer.state[p].values())


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_checkpoint_goes_on_with_the_same_bits(
    pair: str, stop: int, dtype: torch.dtype, tmp_path: Any
) -> None:
    """Stopped before and after the retain side's first step."""
    whole, resumed = parameters(dtype), parameters(dtype)
    first = DualOptim(whole, *PAIRS[pair])
    for step, side in enumerate(ORDER):
        if step == stop:
            torch.save(first.state_dict(), tmp_path / "state.pt")
            kept = copy.deepcopy([p.detach() for p in whole])
        fill(whole, step)
        first.step(side=side)
    second = DualOptim(resumed, *PAIRS[pair])
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    with torch.no_grad():
        for p, value in zip(resumed, kept, strict=True):
            p.copy_(value)
    for step, side in list(enumerate(ORDER))[stop:]:
        fill(resumed, step)
        second.step(side=side)
    assert all(map(torch.equal, whole, resumed))


@pytest.mark.filterwarnings("ignore:Detected call of")
def test_the_schedule_sets_both_rates_and_their_ratio_stays() -> None:
    ours, theirs = parameters(), parameters()
    optimizer = DualOptim(ours, *PAIRS["adamw-adamw"])
    two = {side: make(theirs) for side, make in zip(("forget", "retain"), PAIRS["adamw-adamw"], strict=True)}
    schedules = [CosineAnnealingLR(o, 5) for o in (optimizer, *two.values())]
    for step, side in enumerate(ORDER):
        fill(ours, step)
        fill(theirs, step)
        optimizer.step(side=side)
        two[side].step()
        for schedule in schedules:
            schedule.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_groups_keep_their_settings() -> None:
    first, second, third = parameters()
    groups = [{"params": [first, second], "weight_decay": 0.3}, {"params": third, "lr": 0.2}]
    optimizer = DualOptim(groups, *PAIRS["adamw-adamw"])
    assert [group["forget/weight_decay"] for group in optimizer.param_groups] == [0.3, 0.1]
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.2]
    assert set(groups[1]) == {"params", "lr"}, "what was handed in is left alone"


def test_a_parameter_without_a_gradient_stays() -> None:
    ours, theirs = parameters(), parameters()
    optimizer = DualOptim(ours, *PAIRS["adamw-adamw"])
    alone = PAIRS["adamw-adamw"][1]([theirs[1]])
    for step, side in enumerate(ORDER):
        fill(ours, step)
        fill(theirs, step)
        if side == "forget":
            ours[1].grad = None
        optimizer.step(side=side)
        if side == "retain":
            alone.step()
    assert torch.equal(ours[1], theirs[1])
    assert not torch.equal(ours[0], parameters()[0])


def test_another_pair_is_refused_by_name() -> None:
    saved = DualOptim(parameters(), *PAIRS["adamw-adamw"]).state_dict()
    with pytest.raises(
        MismatchError,
        match="`retain` of DualOptim must be as in the checkpoint.*Found retain=SGD here and retain=AdamW there",
    ):
        DualOptim(parameters(), *PAIRS["fused-adamw-sgd"]).load_state_dict(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": []}, "`params` of DualOptim must hold at least one parameter. Found none."),
        ({"retain": partial(SGD, lr=0.0)}, "`retain.lr` must be above 0, a learning rate. Found 0.0"),
        ({"state_bits": 16}, "`state_bits` must be 32 or 8. Found 16"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str) -> None:
    settings = {"params": parameters(), "forget": partial(SGD, lr=0.1), "retain": partial(SGD, lr=0.1)}
    with pytest.raises(ConfigurationError, match=message):
        DualOptim(**(settings | change))


def test_an_optimizer_that_needs_a_closure_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match="`forget` of DualOptim must make.*Found LBFGS, whose step needs a closure. Use",
    ):
        DualOptim(parameters(), torch.optim.LBFGS, partial(SGD, lr=0.1))


class Listing(SGD):
    """An optimizer that keeps a list of what it saw."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].setdefault("seen", []).append(p.grad)
        return super().step(closure)


def test_states_that_are_no_tensors_are_refused_before_anything_moves() -> None:
    params = parameters()
    optimizer = DualOptim(params, partial(SGD, lr=0.1), partial(Listing, lr=0.1))
    fill(params, 0)
    with pytest.raises(
        ConfigurationError, match="`retain` of DualOptim must make.*Found 'seen' of Listing, of type list"
    ):
        optimizer.step(side="forget")
    assert all(map(torch.equal, params, parameters()))
