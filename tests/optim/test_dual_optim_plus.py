"""DualOptim+: limits, transients and noise of paper 002's rule, counters, presets, bad input."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from tests.optim.naive import directions
from unlearnkit.errors import ConfigurationError, MismatchError, UnknownNameError
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.optim.dual_optim_plus import _hint_at_noise

ONE = torch.ones(1, dtype=torch.float64)


def plus(**settings: Any) -> Any:
    return lambda params, lr, eps: DualOptimPlus(params, lr=lr, eps=eps, **settings)


def alternating(forget: float, retain: float, rounds: int, retain_steps: int = 1) -> list[Any]:
    return [("forget", forget * ONE), *[("retain", retain * ONE)] * retain_steps] * rounds


def forget_steps(make: Any, forget: float, retain: float, rounds: int) -> list[float]:
    """Return the update of each forget step for constant gradients."""
    return [u.item() for u in directions(make, alternating(forget, retain, rounds))[::2]]


# ------------------------------------------------------------------------------- the first step


@pytest.mark.parametrize("order", ["current", "lagged"])
@pytest.mark.parametrize("second_moment", ["plus", "decoupled"])
def test_each_sides_first_step_is_that_of_a_fresh_adamw(order: str, second_moment: str) -> None:
    """Whatever the other side did before: the corrected base is subtracted and added again."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, generator=generator, dtype=torch.float64)
    p = nn.Parameter(start.clone())
    optimizer = DualOptimPlus(
        [p], lr=0.01, forget_lr=0.03, order=order, second_moment=second_moment, weight_decay=0.1, v_floor=0.0
    )
    for side, lr in (("retain", 0.01), ("retain", None), ("retain", None), ("forget", 0.03)):
        g = torch.randn(6, generator=generator, dtype=torch.float64)
        fresh = nn.Parameter(p.detach().clone())
        p.grad, fresh.grad = g.clone(), g.clone()
        optimizer.step(side=side)
        if lr is not None:
            torch.optim.AdamW([fresh], lr=lr, weight_decay=0.1).step()
            torch.testing.assert_close(p.detach(), fresh.detach(), rtol=1e-9, atol=1e-11)


# -------------------------------------------------------------------------- the limits of the paper


def test_where_the_sides_agree_the_deltas_vanish() -> None:
    """DualOptim+ becomes Alternate: u is the base, on every step."""
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1e-3)
    for side, g in alternating(0.7, 0.7, 20):
        p.grad = g.clone()
        optimizer.step(side=side)
    state = optimizer.state[p]
    assert abs(state["forget/exp_avg"].item()) < 1e-15
    assert abs(state["retain/exp_avg"].item()) < 1e-15
    base = state["base/exp_avg"].item() / (1 - 0.99**40)
    assert base == pytest.approx(0.7, rel=1e-12)
    assert forget_steps(plus(), 0.7, 0.7, 6) == pytest.approx([0.7] * 6, rel=1e-8)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_where_they_are_opposed_the_base_keeps_its_exact_residue(decay: float) -> None:
    """The paper has B go to 0; it goes to -(1 - a)/(1 + a) of the forget gradient after each retain step."""
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1e-3, base_betas=(decay, 0.999))
    rounds = max(200, int(40 / (1 - decay)))
    for side, g in alternating(1.0, -1.0, rounds):
        p.grad = g.clone()
        optimizer.step(side=side)
    residue = (1 - decay) / (1 + decay)
    assert optimizer.state[p]["base/exp_avg"].item() == pytest.approx(-residue, rel=1e-9)
    p.grad = ONE.clone()
    optimizer.step(side="forget")
    assert optimizer.state[p]["base/exp_avg"].item() == pytest.approx(residue, rel=1e-9)
    assert optimizer.state[p]["forget/exp_avg"].item() == pytest.approx(1 - residue, rel=1e-6)


@pytest.mark.parametrize("order", ["current", "lagged"])
@pytest.mark.parametrize("retain", [1.0, -1.0, 0.0, -0.4, 5.0])
def test_in_the_end_each_side_steps_along_its_own_gradient(order: str, retain: float) -> None:
    gradients = alternating(1.0, retain, 400, retain_steps=2)
    found = directions(plus(order=order), gradients)
    assert found[-3].item() == pytest.approx(1.0, abs=5e-3)
    assert found[-1].item() == pytest.approx(retain, abs=5e-3 * max(1.0, abs(retain)))


def test_it_is_unbiased_for_each_side_under_noise() -> None:
    """For any correlation between the sides; mean over 4000 coordinates and the last 50 of 150 rounds."""
    generator = torch.Generator().manual_seed(0)
    for correlation in (-0.9, 0.0, 0.9):
        steps = []
        for _ in range(150):
            shared = torch.randn(4000, generator=generator, dtype=torch.float64)
            own = torch.randn(4000, generator=generator, dtype=torch.float64)
            other = correlation * shared + (1 - correlation**2) ** 0.5 * own
            steps += [("forget", 1.0 + shared), ("retain", -0.5 + other)]
        found = directions(plus(), steps)
        for place, mean in ((0, 1.0), (1, -0.5)):
            updates = torch.stack(found[place::2])[-50:].mean(0)
            error = updates.std() / 4000**0.5
            # What is left of the start, 0.99**200 of the base's gap, is beside the noise.
            assert abs(updates.mean().item() - mean) < 4 * error + 0.015 * abs(mean)


# ------------------------------------------------------------------------------------- transients


def test_transients_are_those_that_were_seen() -> None:
    """With base .99 and delta .9; numbers of the reference, to its digits."""
    lagged = plus(order="lagged")
    assert forget_steps(lagged, 1.0, 1.0, 6) == pytest.approx([1, 1.474, 1.30, 1.21, 1.16, 1.13], abs=6e-3)
    assert forget_steps(lagged, 1.0, -1.0, 3) == pytest.approx([1, 0.998, 0.998], abs=2e-3)
    current = plus(order="current")
    assert forget_steps(current, 1.0, -1.0, 6) == pytest.approx(
        [1, 0.684, 0.717, 0.759, 0.793, 0.822], abs=1e-3
    )


def variance(make: Any, rounds: int = 400) -> float:
    """Return the variance of the update for gradients of unit noise, in the long run."""
    generator = torch.Generator().manual_seed(0)
    steps = [
        (side, torch.randn(2000, generator=generator, dtype=torch.float64))
        for _ in range(rounds)
        for side in ("forget", "retain")
    ]
    return torch.stack(directions(make, steps)[-80::2]).var().item()


def test_noise_is_a_tenth_more_than_adams_and_twice_with_equal_decay_rates() -> None:
    """Adam's is (1 - b)/(1 + b) = .0526 at b = .9; the default base must be slower than the deltas."""
    adam = 0.1 / 1.9
    assert variance(plus()) < 1.25 * adam
    for order in ("current", "lagged"):
        assert 1.9 * adam < variance(plus(order=order, base_betas=(0.9, 0.95))) < 2.4 * adam


def test_equal_decay_rates_are_hinted_at_once_and_not_warned_of(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    _hint_at_noise.cache_clear()
    p = nn.Parameter(torch.zeros(1))
    with caplog.at_level(logging.INFO, "unlearnkit"):
        DualOptimPlus([p])
        assert not caplog.records
        for _ in range(2):
            DualOptimPlus([p], preset="authors")
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "doubles the noise" in record.getMessage()
    assert not recwarn.list


# --------------------------------------------------------------------------------- second moments


def noisy(settings: dict[str, Any], forget: float, retain: float) -> tuple[DualOptimPlus, torch.Tensor]:
    """Return the optimizer and the largest step of each coordinate, in rates, over 50 rounds of 1 + 5 steps."""
    generator = torch.Generator().manual_seed(1)
    p = nn.Parameter(torch.zeros(1000, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1.0, **settings)
    longest = torch.zeros(1000, dtype=torch.float64)
    for _ in range(50):
        for side, mean in (("forget", forget), *(("retain", retain),) * 5):
            p.grad = mean + 0.3 * torch.randn(1000, generator=generator, dtype=torch.float64)
            before = p.detach().clone()
            optimizer.step(side=side)
            longest = longest.maximum((p.detach() - before).abs())
    return optimizer, longest


def test_negative_second_moments_are_counted_by_side() -> None:
    """Gradients of ten to one: the retain side's second moment is the difference of two large numbers."""
    optimizer, longest = noisy({"preset": "authors"}, -10.0, 1.0)
    sums: list[torch.Tensor] = []

    def rank_sum(value: torch.Tensor) -> torch.Tensor:
        sums.append(value)
        return 2 * value

    found = optimizer.diagnostics(rank_sum)
    assert found["negative_v/forget"].item() == 0.0
    assert 0.2 < found["negative_v/retain"].item() < 0.6
    assert len(sums) == 1 and sums[0][1, 1].item() == 50 * 5 * 1000
    assert optimizer.diagnostics(rank_sum)["negative_v/retain"].item() == 0.0, "since the last call"
    assert torch.isfinite(longest).all()


def test_the_defaults_make_no_long_steps_where_base_and_delta_of_both_moments_do() -> None:
    ours, longest = noisy({}, -10.0, 1.0)
    assert ours.diagnostics(lambda value: value) == {}
    assert longest.max() < 5
    assert noisy({"preset": "authors"}, -10.0, 1.0)[1].quantile(0.95) > 20
    assert noisy({"preset": "slides"}, -10.0, 1.0)[1].max() < 10, "the floor bounds them"


@pytest.mark.parametrize("preset", ["measured", "slides"])
@pytest.mark.parametrize("dead", ["forget", "retain"])
def test_a_weight_that_one_side_never_moves_makes_no_long_steps_for_it(preset: Any, dead: str) -> None:
    """A dead unit, a black pixel, a word that a side never sees: its own second moment is exactly zero."""
    generator = torch.Generator().manual_seed(0)
    p = nn.Parameter(torch.zeros(400, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1.0, preset=preset)
    longest = 0.0
    for round_ in range(100):
        for side in ("forget", "retain"):
            p.grad = 1.0 + torch.randn(400, generator=generator, dtype=torch.float64)
            if side == dead:
                p.grad.zero_()
            before = p.detach().clone()
            optimizer.step(side=side)
            if side == dead and round_ > 0:
                longest = max(longest, (p.detach() - before).abs().max().item())
    assert longest < 7, "in rates"


def test_without_a_floor_such_a_weight_steps_by_the_update_over_eps() -> None:
    p = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1.0, v_floor=0.0)
    for gradient in (1.0, 2.0, 1.0):
        for side in ("forget", "retain"):
            p.grad = torch.full_like(p, 0.0 if side == "forget" else gradient)
            before = p.detach().clone()
            optimizer.step(side=side)
            if side == "forget":
                moved = (p.detach() - before).abs().max().item()
    assert moved > 1e6


def test_shorter_gradients_make_second_moments_negative_and_the_guard_holds() -> None:
    generator = torch.Generator().manual_seed(0)
    p = nn.Parameter(torch.zeros(500, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1.0, preset="slides")
    read: dict[int, float] = {}
    for round_ in range(300):
        scale = 1.0 if round_ < 200 else 0.1
        for side in ("forget", "retain"):
            p.grad = scale * torch.randn(500, generator=generator, dtype=torch.float64)
            before = p.detach().clone()
            optimizer.step(side=side)
            assert (p.detach() - before).abs().max() < 5
        if round_ in (199, 279, 299):
            read[round_] = optimizer.diagnostics(lambda value: value)["negative_v/retain"].item()
    assert read[199] < 0.05
    assert read[299] > 0.95, "all of them: the base forgets the long gradients more slowly than the deltas"


# ------------------------------------------------------------------------------ states and settings


def test_a_parameter_without_a_gradient_stays_and_counts_for_itself() -> None:
    first, second = (nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2))
    optimizer = DualOptimPlus([first, second], lr=0.1)
    alone = nn.Parameter(torch.ones(3, dtype=torch.float64))
    expected = DualOptimPlus([alone], lr=0.1)
    for step, side in enumerate(["forget", "retain", "retain", "forget"]):
        g = torch.full((3,), step + 1.0, dtype=torch.float64)
        first.grad = g.clone()
        second.grad = g.clone() if side == "retain" else None
        optimizer.step(side=side)
        if side == "retain":
            alone.grad = g.clone()
            expected.step(side=side)
    assert torch.equal(second, alone)
    assert optimizer.state[second]["forget/step"].item() == 0
    assert optimizer.state[second]["retain/step"].item() == 2
    assert optimizer.state[first]["forget/step"].item() == 2


@pytest.mark.parametrize("second_moment", ["plus", "decoupled", "shared"])
def test_without_a_side_all_states_are_made_and_nothing_moves(second_moment: str) -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = DualOptimPlus([p], lr=0.1, weight_decay=0.5, second_moment=second_moment)
    p.grad = torch.ones(3)
    optimizer.step(closure=None)
    assert torch.equal(p, torch.ones(3))
    buffers = {"plus": 6, "decoupled": 5, "shared": 4}[second_moment]
    state = optimizer.state[p]
    assert sum(value.numel() * value.element_size() for value in state.values()) == 4 * 3 * buffers + 8
    assert not any(value.any() for value in state.values())
    names = set(state)
    optimizer.step(side="forget")
    assert set(optimizer.state[p]) == names, "a checkpoint has the same names at any time"


def test_rates_follow_the_schedule_by_their_ratio() -> None:
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=0.1, forget_lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    found = []
    for _ in range(3):
        for side in ("forget", "retain"):
            p.grad = torch.ones(1, dtype=torch.float64)
            before = p.item()
            optimizer.step(side=side)
            found.append(before - p.item())
        schedule.step()
    assert found == pytest.approx([0.02, 0.1, 0.01, 0.05, 0.005, 0.025], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_states_go_through_a_checkpoint_with_the_same_bits(dtype: torch.dtype, tmp_path: Any) -> None:
    """Counters too: torch would cast them to the parameter's type, and bf16 stops counting at 256."""
    p = nn.Parameter(torch.ones(5, dtype=dtype))
    q = nn.Parameter(torch.ones(5, dtype=dtype))
    first, second = (DualOptimPlus([x], lr=0.01, second_moment="plus") for x in (p, q))
    for step in range(300):
        p.grad = torch.randn(5, generator=torch.Generator().manual_seed(step)).to(dtype)
        first.step(side="forget" if step % 3 == 0 else "retain")
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.state[q]["retain/step"].item() == 200
    assert second.state[q]["retain/step"].dtype == torch.float32
    with torch.no_grad():
        q.copy_(p)
    for side in ("forget", "retain"):
        for x, optimizer in ((p, first), (q, second)):
            x.grad = torch.full((5,), 0.3, dtype=dtype)
            optimizer.step(side=side)
    assert torch.equal(p, q)


def test_another_optimizers_state_is_refused_by_name() -> None:
    p = nn.Parameter(torch.ones(3))
    adamw = torch.optim.AdamW([p])
    dual = DualOptim([p], partial(torch.optim.AdamW, lr=0.1), partial(torch.optim.SGD, lr=0.1))
    ours = DualOptimPlus([p])
    with pytest.raises(
        MismatchError,
        match=r"DualOptimPlus\(order=current, second_moment=decoupled.*Found the state of an optimizer",
    ):
        ours.load_state_dict(adamw.state_dict())
    with pytest.raises(MismatchError, match=r"Found the state of DualOptim\(forget=AdamW, retain=SGD"):
        ours.load_state_dict(dual.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"order": "lagged"},
            "`order` of DualOptimPlus must be as in the checkpoint.*Found order=current here and order=lagged there.*"
            "Build the optimizer with the latter",
        ),
        (
            {"second_moment": "shared"},
            "`second_moment` of.*Found second_moment=decoupled here and .*=shared there",
        ),
        ({"preset": "authors"}, "`order`, `second_moment` of"),
        ({"state_bits": 8}, "`state_bits` of.*Found state_bits=32 here and state_bits=8 there"),
    ],
)
def test_states_that_mean_something_else_are_refused_by_argument(
    settings: dict[str, Any], message: str
) -> None:
    p = nn.Parameter(torch.ones(3))
    saved = DualOptimPlus([p], **settings).state_dict()
    with pytest.raises(MismatchError, match=message):
        DualOptimPlus([p]).load_state_dict(saved)


def test_other_settings_are_the_checkpoints() -> None:
    """As with torch's optimizers, whose groups come from the checkpoint."""
    p = nn.Parameter(torch.ones(3))
    there = {
        "betas": (0.8, 0.9),
        "eps": 1e-6,
        "negative": "abs",
        "v_floor": 0.3,
        "weight_decay": 0.2,
        "lr": 0.5,
    }
    ours = DualOptimPlus([p])
    ours.load_state_dict(DualOptimPlus([p], **there).state_dict())
    assert there.items() <= ours.param_groups[0].items()


@pytest.mark.parametrize("argument", ["order", "second_moment", "state_bits"])
def test_what_the_states_mean_is_the_same_for_all_groups(argument: str) -> None:
    groups = [
        {"params": [nn.Parameter(torch.ones(1))]},
        {"params": [nn.Parameter(torch.ones(1))], argument: 8},
    ]
    with pytest.raises(ConfigurationError, match=f"`{argument}` of DualOptimPlus must be the same for all"):
        DualOptimPlus(groups)


def test_presets_can_be_changed_one_argument_at_a_time() -> None:
    optimizer = DualOptimPlus([nn.Parameter(torch.zeros(1))], preset="authors", base_betas=(0.99, 0.999))
    group = optimizer.param_groups[0]
    assert group["betas"] == (0.9, 0.95) and group["base_betas"] == (0.99, 0.999)
    assert (optimizer.order, group["negative"], group["v_floor"]) == ("lagged", "abs", 0.0)
    assert "second_moment=plus" in group["kind"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, "`lr` must be 0 or above, a learning rate. Found -1.0"),
        ({"lr": 0.0, "forget_lr": 0.1}, "`lr` must be above 0"),
        ({"forget_lr": -0.1}, "`forget_lr` must be 0 or above"),
        ({"betas": (0.9, 1.0)}, r"`betas` must lie in \[0, 1\)"),
        ({"base_betas": (-0.1, 0.9)}, r"`base_betas` must lie in \[0, 1\)"),
        ({"eps": 0.0}, "`eps` must be above 0"),
        ({"weight_decay": -0.1}, "`weight_decay` must be 0 or above"),
        ({"v_floor": -0.1}, "`v_floor` must be 0 or above"),
        ({"state_bits": 4}, "`state_bits` must be 32 or 8. Found 4"),
    ],
)
def test_bad_arguments_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DualOptimPlus([nn.Parameter(torch.zeros(1))], **settings)


@pytest.mark.parametrize("argument", ["preset", "order", "second_moment", "negative"])
def test_unknown_names_list_the_known_ones(argument: str) -> None:
    with pytest.raises(UnknownNameError, match=f"`{argument}` must be one of"):
        DualOptimPlus([nn.Parameter(torch.zeros(1))], **{argument: "lag"})


@pytest.mark.parametrize("params", [[], [{"params": []}]])
def test_an_optimizer_without_parameters_is_refused(params: list[Any]) -> None:
    with pytest.raises(
        ConfigurationError, match="`params` of DualOptimPlus must hold at least one parameter"
    ):
        DualOptimPlus(params)


def test_a_closure_is_evaluated_with_gradients() -> None:
    p = nn.Parameter(torch.ones(1))
    optimizer = DualOptimPlus([p], lr=0.1)

    def closure() -> torch.Tensor:
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure, side="retain").item() == 1.0
    assert p.item() == pytest.approx(0.9, rel=1e-5)
