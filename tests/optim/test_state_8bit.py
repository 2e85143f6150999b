"""States of 8 bits: what they hold, what they cost, how far they lead astray."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from tests.modules.tiny import flat, tiny_lm, tokens
from unlearnkit.errors import MismatchError, UnknownNameError
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.optim.block_codes import LIBRARIES
from unlearnkit.optim.state_8bit import SCALE, Quantizer, holds

LR = 3e-4


def dual(params: Any, bits: Any, lr: float = LR, **settings: Any) -> DualOptim:
    return DualOptim(params, partial(AdamW, lr=lr), partial(AdamW, lr=lr), state_bits=bits, **settings)


def plus(params: Any, bits: Any, lr: float = LR, **settings: Any) -> DualOptimPlus:
    return DualOptimPlus(params, lr=lr, state_bits=bits, **settings)


MAKERS: dict[str, Any] = {
    "dual": dual,
    "dual-momentum": lambda p, bits: DualOptim(
        p, partial(AdamW, lr=LR), partial(SGD, lr=0.02, momentum=0.9), state_bits=bits
    ),
    "dual-bitsandbytes": partial(dual, state_library="bitsandbytes"),
    "plus-decoupled": plus,
    "plus-bitsandbytes": partial(plus, state_library="bitsandbytes"),
    "plus-shared": partial(plus, second_moment="shared"),
    "plus-slides": partial(plus, preset="slides"),
    # At their rate: without a floor single steps are tens of rates long, and at 3e-4 fp32 itself is erratic.
    "plus-authors": partial(plus, preset="authors", lr=1e-5),
}


# ---------------------------------------------------------------------------------------- the tensor


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_round_trip(signed: bool, squares: bool, library: Any) -> None:
    quantizer, state, form = Quantizer(library), {}, {"signed": signed, "squares": squares}
    assert quantizer.allocate(state, "x", torch.zeros(64, 256))
    assert holds(state, "x") and not quantizer.widen(state, "x", **form).any()
    value = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    value = value if signed else value.abs()
    quantizer.narrow_(state, "x", value, **form)
    found = quantizer.widen(state, "x", **form)
    assert ((found - value).norm() / value.norm()).item() < (0.02 if squares else 0.012)
    assert (found.sign() == value.sign()).float().mean() > 0.999


@pytest.mark.parametrize("library", LIBRARIES)
def test_squares_of_small_gradients_are_not_rounded_to_zero(library: Any) -> None:
    """Kept as they are, four decades of gradients in one block would be eight of squares, one too many."""
    quantizer, state = Quantizer(library), {}
    quantizer.allocate(state, "v", torch.zeros(4096))
    squares = torch.logspace(-4, 0, 4096).square().view(16, 256).t().reshape(-1)
    for kept, lost in ((True, False), (False, True)):
        quantizer.narrow_(state, "v", squares, signed=False, squares=kept)
        found = quantizer.widen(state, "v", signed=False, squares=kept)
        assert (found == 0).any().item() is lost


@pytest.mark.parametrize(
    ("shape", "eight"), [((4095,), False), ((4096,), True), ((64, 100), True), ((65, 99), False)]
)
def test_small_and_odd_tensors_stay_as_they_are(shape: tuple[int, ...], eight: bool) -> None:
    state: dict[str, torch.Tensor] = {}
    assert Quantizer().allocate(state, "x", torch.zeros(shape)) is eight
    assert holds(state, "x") is eight
    p = nn.Parameter(torch.zeros(shape))
    p.grad = torch.ones(shape)
    for optimizer in (dual([p], 8), plus([p], 8)):
        optimizer.step(side="forget")
        assert holds(optimizer.state[p], "forget/exp_avg") is eight
        assert optimizer.state[p]["forget/exp_avg"].shape == p.shape


def test_bytes_per_parameter() -> None:
    """Those of optimization.md C.5, from real tensors: 8 bits, and a scale for each 256."""
    side = 1024
    for name, settings, buffers in (
        ("dual", {}, 4),
        ("shared", {"second_moment": "shared"}, 4),
        ("decoupled", {"second_moment": "decoupled"}, 5),
        ("plus", {"second_moment": "plus"}, 6),
    ):
        for bits, each in ((32, 4.0), (8, 1.0157)):
            p = nn.Parameter(torch.zeros(side, side))
            optimizer = dual([p], bits) if name == "dual" else plus([p], bits, **settings)
            p.grad = torch.ones_like(p)
            optimizer.step()
            states = optimizer.state[p].values()
            found = sum(state.numel() * state.element_size() for state in states) / side**2
            assert found == pytest.approx(each * buffers, rel=2e-3), (name, bits)


# -------------------------------------------------------------------------------------- the optimizers


def train(make: Any, bits: int, steps: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a tiny language model's parameters after that many alternating steps, and before."""
    torch.manual_seed(0)
    model = tiny_lm(vocabulary=64, hidden_size=64)
    optimizer = make(list(model.parameters()), bits)
    start = flat(model)
    for step in range(steps):
        side, sign = (("forget", -1.0), ("retain", 1.0))[step % 2]
        batch = tokens(8, step % 8)
        optimizer.zero_grad()
        (sign * model.losses(batch).sum() / model.counts(batch).sum()).backward()
        optimizer.step(side=side)
    return flat(model), start


@pytest.mark.parametrize("name", MAKERS)
def test_fifty_steps_end_within_two_per_cent_of_fp32(name: str) -> None:
    wide, start = train(MAKERS[name], 32)
    eight, _ = train(MAKERS[name], 8)
    assert not torch.equal(wide, eight)
    assert ((wide - start).norm() / start.norm()).item() > 5e-4
    assert ((wide - eight).norm() / wide.norm()).item() < 0.02
    # Of what was learnt, in which a difference of two second moments shows, and the more without a floor.
    bound = {"plus-slides": 0.15, "plus-authors": 0.5}.get(name, 0.04)
    assert ((wide - eight).norm() / (wide - start).norm()).item() < bound


@pytest.mark.parametrize("name", MAKERS)
def test_states_go_through_a_checkpoint_with_the_same_bits(name: str, tmp_path: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(64, 64, generator=generator)
    gradients = [torch.randn(64, 64, generator=generator) for _ in range(8)]

    def run(optimizer: Any, p: nn.Parameter, steps: range) -> None:
        for step in steps:
            p.grad = gradients[step].clone()
            optimizer.step(side="forget" if step % 3 == 0 else "retain")

    p = nn.Parameter(start.clone())
    first = MAKERS[name]([p], 8)
    run(first, p, range(4))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    q = nn.Parameter(p.detach().clone())
    second = MAKERS[name]([q], 8)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert holds(second.state[q], "forget/exp_avg")
    assert second.state[q]["forget/exp_avg"].dtype == torch.uint8
    for optimizer, x in ((first, p), (second, q)):
        run(optimizer, x, range(4, 8))
    assert torch.equal(p, q)
    assert not torch.equal(p, start)


def test_states_of_other_widths_are_refused() -> None:
    p = nn.Parameter(torch.zeros(64, 64))
    with pytest.raises(MismatchError, match="Found state_bits=8 here and state_bits=32 there"):
        plus([p], 8).load_state_dict(plus([p], 32).state_dict())


@pytest.mark.parametrize("name", MAKERS)
def test_parameters_whose_gradient_is_zero_stay(name: str) -> None:
    """Beside others, in the same block."""
    p = nn.Parameter(torch.zeros(64, 64))
    optimizer = MAKERS[name]([p], 8)
    for step in range(6):
        p.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(step))
        p.grad[:, ::2] = 0
        optimizer.step(side=("forget", "retain")[step % 2])
    assert not p[:, ::2].any() and p[:, 1::2].all()


@pytest.mark.parametrize("name", ["dual", "plus-decoupled"])
def test_embeddings_are_left_out_where_they_are_named(name: str) -> None:
    words, layer = nn.Parameter(torch.zeros(64, 64)), nn.Parameter(torch.zeros(64, 64))
    optimizer = MAKERS[name]([words, layer], 8)
    optimizer.keep_full_precision([words])
    words.grad, layer.grad = torch.ones(64, 64), torch.ones(64, 64)
    for side in ("forget", "retain"):
        optimizer.step(side=side)
    assert not any(name.endswith(SCALE) for name in optimizer.state[words])
    assert holds(optimizer.state[layer], "forget/exp_avg")


# ------------------------------------------------------------------------------------------ the package


@pytest.mark.parametrize("make", [dual, plus])
def test_an_unknown_library_is_named_at_any_width(make: Any) -> None:
    for bits in (8, 32):
        with pytest.raises(
            UnknownNameError, match="`state_library` must be one of: bitsandbytes, torchao. Found"
        ):
            make([nn.Parameter(torch.zeros(1))], bits, state_library="torch-ao")


@pytest.mark.parametrize("make", [dual, plus])
def test_a_checkpoint_goes_on_with_the_other_library(make: Any) -> None:
    p = nn.Parameter(torch.zeros(64, 64))
    p.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    first = make([p], 8)
    first.step(side="forget")
    for library in LIBRARIES:
        q = nn.Parameter(p.detach().clone())
        second = make([q], 8, state_library=library)
        second.load_state_dict(first.state_dict())
        q.grad = p.grad.clone()
        second.step(side="forget")
        again = nn.Parameter(p.detach().clone())
        same = make([again], 8)
        same.load_state_dict(first.state_dict())
        again.grad = p.grad.clone()
        same.step(side="forget")
        assert torch.equal(q, again), "both read the same values; they may write codes that differ"


@pytest.mark.parametrize("package", LIBRARIES)
def test_it_is_imported_only_when_asked_for_and_says_nothing(package: str) -> None:
    code = (
        "import sys, torch; from unlearnkit.optim import DualOptimPlus; p = torch.nn.Parameter(torch.zeros(1))\n"
        f"DualOptimPlus([p], state_library={package!r}); assert not {{'torchao', 'bitsandbytes'}} & set(sys.modules)\n"
        f"DualOptimPlus([p], state_bits=8, state_library={package!r}); assert {package!r} in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
