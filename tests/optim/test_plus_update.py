"""The foreach arithmetic, and the fused, equals the rule written out for one number, in float64."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.optim.naive import NaivePlus
from unlearnkit.optim import plus_update
from unlearnkit.optim.plus_update import Moments, PlusRule, plus_update_

ORDERS = ("current", "lagged")
SECOND = ("plus", "decoupled", "shared")
SIDES = ["forget", "retain", "retain", "forget", "forget", "retain", "retain", "retain"] * 3


def run(
    rule: PlusRule, weight_decay: float, size: int, apart: int = 1
) -> tuple[torch.Tensor, int, torch.Tensor, int]:
    """Return what a tensor and as many single numbers become, and how many second moments were negative.

    Args:
        rule: Which rule.
        weight_decay: Of both sides.
        size: How many numbers.
        apart: Stride of the parameter; more than 1 keeps it from torch's fused code.
    """
    generator = torch.Generator().manual_seed(0)
    p = torch.zeros(size, apart, dtype=torch.float64)[:, 0]
    p.copy_(torch.randn(size, generator=generator, dtype=torch.float64))
    lr = {"forget": 0.02, "retain": 0.05}
    naive = [NaivePlus(value, rule, lr, weight_decay) for value in p.tolist()]
    zeros = lambda: torch.zeros(size, dtype=torch.float64)  # noqa: E731
    base, base2 = zeros(), zeros()
    delta = {side: zeros() for side in ("forget", "retain")}
    delta2 = {side: zeros() for side in ("forget", "retain")}
    own = {"forget": 0, "retain": 0}
    negative = 0
    for step, side in enumerate(SIDES):
        scale = 3.0 if side == "forget" else 0.3
        g = scale * torch.randn(size, generator=generator, dtype=torch.float64)
        moments = Moments([p], [g], [base], [delta[side]], [base2], [delta2[side]])
        found = plus_update_(rule, moments, lr[side], 1 - lr[side] * weight_decay, step, own[side])
        negative += 0 if found is None else int(found)
        own[side] += 1
        for one, value in zip(naive, g.tolist(), strict=True):
            one.step(side, value)
    expected = torch.tensor([one.p for one in naive], dtype=torch.float64)
    return p, negative, expected, sum(one.negative for one in naive)


@pytest.mark.parametrize(("order", "second"), list(itertools.product(ORDERS, SECOND)))
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("apart", [1, 2])
@pytest.mark.parametrize("beta1", [0.0, 0.8])
def test_it_is_the_rule_written_out(
    order: str, second: str, weight_decay: float, apart: int, beta1: float
) -> None:
    found, _, expected, _ = run(
        PlusRule(order, second, (beta1, 0.9), (0.95, 0.97), v_floor=0.05), weight_decay, 40, apart
    )
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("negative", "v_floor"), [("abs", 0.0), ("floor", 0.1), ("abs", 0.1)])
def test_negative_second_moments_are_guarded_and_counted(order: str, negative: str, v_floor: float) -> None:
    rule = PlusRule(order, "plus", (0.8, 0.9), (0.95, 0.97), negative=negative, v_floor=v_floor)
    found, count, expected, theirs = run(rule, 0.0, 40)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
    assert count == theirs > 20


@pytest.mark.parametrize(("order", "second"), [("lagged", "plus"), ("current", "decoupled")])
def test_blocks_change_nothing(order: str, second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = PlusRule(order, second, (0.8, 0.9), (0.95, 0.97), v_floor=0.1)
    whole, count, _, _ = run(rule, 0.1, 50)
    monkeypatch.setattr(
        plus_update, "CPU_BLOCK", 16
    )  # whole registers, as 2**18: fused code rounds ends otherwise
    parts, same, _, _ = run(rule, 0.1, 50)
    assert torch.equal(whole, parts)
    assert count == same


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("order", ORDERS)
def test_fused_code_rounds_no_worse_than_calls_of_foreach(dtype: torch.dtype, order: str) -> None:
    """It adds the base to the delta and takes it away again, which in bf16 could cost digits."""
    rule = PlusRule(order, "decoupled", (0.9, 0.95), (0.99, 0.999))

    def updates(kind: torch.dtype, apart: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        p, base, *states = (torch.zeros(500, apart, dtype=kind)[:, 0] for _ in range(6))
        found = []
        for step in range(100):
            side = step % 2
            g = (1.0 - 0.2 * side + 0.3 * torch.randn(500, generator=generator)).bfloat16().to(kind)
            p.zero_()
            moments = Moments([p], [g], [base], [states[side]], [], [states[2 + side]])
            plus_update_(rule, moments, 1.0, 1.0, step, step // 2)
            found.append(p.double())
        return torch.stack(found)

    exact = updates(torch.float64, 1)
    fused, calls = ((updates(dtype, apart) - exact).square().mean().sqrt() for apart in (1, 2))
    assert 0 < fused < 1.25 * calls


def test_a_tensor_that_is_not_contiguous_is_written_in_place() -> None:
    rule = PlusRule("current", "decoupled", (0.8, 0.9), (0.95, 0.97))
    start = torch.arange(12.0).view(3, 4).t()
    g, zeros = torch.ones(4, 3), [torch.zeros(4, 3) for _ in range(3)]
    p = start.clone(memory_format=torch.preserve_format)
    plus_update_(rule, Moments([p], [g], [zeros[0]], [zeros[1]], [], [zeros[2]]), 0.5, 1.0, 0, 0)
    torch.testing.assert_close(p, start - 0.5)
