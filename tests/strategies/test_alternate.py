"""Alternate: whose step it is, on which samples, at which rate, and what is left out."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, AdamW

from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError
from unlearnkit.gradients.gen_step import GeNCore
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.strategies import Alternate, NGDiff
from unlearnkit.strategies.alternate import _shares
from unlearnkit.testing import ToyClassifier, toy_pair

SIGN = {"forget": -1.0, "retain": 1.0}


def model() -> ToyClassifier:
    return ToyClassifier(seed=3, dtype=torch.float64)


def pairs(rounds: int = 4, forget: int = 5, retain: int = 7) -> list[Any]:
    return [toy_pair(forget, retain, seed=r, dtype=torch.float64) for r in range(rounds)]


def host_for(network: torch.nn.Module, make: Any = None, **changes: Any) -> PlainHost:
    optimizer = (make or OPTIMIZERS["SGD"])(network.parameters())
    return PlainHost(network, **({"forget": AscentNLL(), "retain": NLL(), "optimizer": optimizer} | changes))


def rows(batch: Any, chosen: slice) -> Any:
    return {name: tensor[chosen] for name, tensor in batch.items()}


def naive(
    strategy: Alternate, batches: list[Any], make: Any, clip: dict[str, float] | None = None
) -> list[Tensor]:
    """Return what plain autograd makes of the same rounds in mode ``batch``."""
    network = model()
    optimizer = make(network.parameters())
    for round_, pair in enumerate(batches):
        for side, steps in strategy.steps.items():
            for t in range(steps):
                part = rows(pair[side], slice(t, None, steps))
                optimizer.zero_grad()
                (SIGN[side] * network.losses(part).mean()).backward()
                if clip is not None:
                    found = [p.grad for p in network.parameters()]
                    norm = torch.stack([g.square().sum() for g in found]).sum().sqrt()
                    for g in found:
                        g.mul_(min(1.0, clip[side] / norm.item()))
                scheduled = optimizer.param_groups[0]["lr"]
                factor = strategy.rates[side] * strategy.decays[side] ** round_
                optimizer.param_groups[0]["lr"] = scheduled * factor
                optimizer.step(**({"side": side} if hasattr(optimizer, "by_side") else {}))
                optimizer.param_groups[0]["lr"] = scheduled
    return [p.detach() for p in network.parameters()]


def run(strategy: Alternate, batches: list[Any], make: Any, **changes: Any) -> tuple[PlainHost, list[Any]]:
    host = host_for(model(), make, **changes)
    return host, [strategy.step(host, pair) for pair in batches]


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-12, atol=1e-12)


OPTIMIZERS: dict[str, Any] = {
    "SGD": partial(SGD, lr=0.05, momentum=0.5),
    "AdamW": partial(AdamW, lr=0.02, weight_decay=0.1),
    "DualOptim": lambda p: DualOptim(list(p), partial(AdamW, lr=0.02), partial(SGD, lr=0.05, momentum=0.5)),
    "DualOptimPlus": partial(DualOptimPlus, lr=0.02, forget_lr=0.01),
}


# ------------------------------------------------------------------------------------ what is computed


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("forget_steps", "retain_steps"), [(1, 1), (2, 3), (5, 1)])
def test_rounds_equal_naive_autograd(optimizer: str, forget_steps: int, retain_steps: int) -> None:
    strategy = Alternate(forget_steps, retain_steps)
    make = OPTIMIZERS[optimizer]
    host, _ = run(strategy, pairs(), make)
    assert_close(host.parameters, naive(strategy, pairs(), make))
    assert host.round == 4


def test_clips_rates_and_decays_are_by_side_and_the_rate_is_put_back() -> None:
    settings = {"forget_clip": 0.05, "retain_clip": 0.2, "forget_rate": 0.3, "retain_rate": 2.0}
    strategy = Alternate(2, 3, **settings, forget_decay=0.5, retain_decay=0.9)
    make = OPTIMIZERS["SGD"]
    host, _ = run(strategy, pairs(), make)
    assert_close(host.parameters, naive(strategy, pairs(), make, {"forget": 0.05, "retain": 0.2}))
    assert (host.lr_scale, host.optimizer.param_groups[0]["lr"]) == (1.0, 0.05)
    for name in (*settings, "forget_decay", "retain_decay"):
        neutral = None if name.endswith("clip") else 1.0
        changed = settings | {"forget_decay": 0.5, "retain_decay": 0.9} | {name: neutral}
        without = Alternate(2, 3, **changed)
        other, _ = run(without, pairs(), make)
        assert not torch.allclose(other.parameters[0], host.parameters[0], atol=1e-6), name


def test_the_forget_loss_fades_along_a_half_cosine_before_it_is_clipped() -> None:
    """With plain SGD a faded step is the factor's part of the whole one; a clip bounds it, faded or not."""
    lengths: dict[float | None, list[float]] = {None: [], 1e-3: []}
    for clip, seen in lengths.items():
        network = model()
        host = host_for(network, optimizer=SGD(network.parameters(), lr=0.1))
        strategy = Alternate(retain_rate=0.0, forget_fade=4, forget_clip=clip)
        batch = pairs(1)[0]
        for _ in range(5):
            start = model()
            for parameter, first in zip(network.parameters(), start.parameters(), strict=True):
                parameter.data.copy_(first)
            strategy.step(host, batch)
            moved = torch.cat(
                [(p - q).flatten() for p, q in zip(network.parameters(), start.parameters(), strict=True)]
            )
            seen.append(moved.norm().item())
    whole = lengths[None][0]
    expected = [whole * factor for factor in (1.0, 0.5 + 0.5**0.5 / 2, 0.5, 0.5 - 0.5**0.5 / 2, 0.0)]
    assert lengths[None] == pytest.approx(expected, abs=1e-12)
    assert lengths[1e-3][:4] == pytest.approx([lengths[1e-3][0]] * 4) and lengths[1e-3][4] == pytest.approx(
        0.0
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_weighted_forget_loss_is_the_loss_times_the_weight(optimizer: str) -> None:
    class Weighted(AscentNLL):
        def forward(self, *given: Any) -> Any:
            value = super().forward(*given)
            return value._replace(sums=0.1 * value.sums)

    make = OPTIMIZERS[optimizer]
    found, reports = run(Alternate(1, 2, forget_weight=0.1), pairs(), make)
    expected, _ = run(Alternate(1, 2), pairs(), make, forget=Weighted())
    plain, unweighted = run(Alternate(1, 2), pairs(), make)
    assert_close(found.parameters, [p.detach() for p in expected.parameters])
    assert torch.equal(reports[0].losses["forget"], unweighted[0].losses["forget"])
    if optimizer != "DualOptim":  # whose forget side has an Adam of its own
        assert not torch.allclose(found.parameters[0], plain.parameters[0], atol=1e-4)


def test_the_rate_is_put_back_where_a_step_fails() -> None:
    host = host_for(model())
    host.lr_scale = 0.7

    def fail(*_: Any) -> None:
        raise RuntimeError

    host.apply = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        Alternate(forget_rate=0.3).step(host, pairs(1)[0])
    assert host.lr_scale == 0.7


def test_micro_batches_are_dealt_out_and_accumulate() -> None:
    """Of five micro-batches the first of two steps takes three, as one large batch."""
    batches = []
    for pair in pairs():
        cut = {
            side: [rows(pair[side], slice(i, i + 1 if i < 4 else None)) for i in range(5)]
            for side in ("forget", "retain")
        }
        batches.append(cut)
    host, _ = run(Alternate(2, 3), batches, OPTIMIZERS["AdamW"])
    network = model()
    optimizer = OPTIMIZERS["AdamW"](network.parameters())
    for cut in batches:
        for side, steps in (("forget", 2), ("retain", 3)):
            for t in range(steps):
                parts = cut[side][t::steps]
                whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
                optimizer.zero_grad()
                (SIGN[side] * network.losses(whole).mean()).backward()
                optimizer.step()
    assert_close(host.parameters, [p.detach() for p in network.parameters()])


def test_a_round_sees_each_sample_once() -> None:
    for size in (1, 4, 5, 7):
        for steps in (1, 2, 3, 6):
            shares = _shares({"index": torch.arange(size)}, steps)
            assert len(shares) == steps
            assert sorted(torch.cat([share["index"] for share in shares]).tolist()) == list(range(size))
            sizes = [len(share["index"]) for share in shares]
            assert max(sizes) - min(sizes) <= 1


# -------------------------------------------------------------------------------- what is left out


def test_shares_without_a_sample_move_nothing() -> None:
    """Also not by weight decay: the step is left out, not made with a gradient of zero."""
    make = partial(AdamW, lr=0.02, weight_decay=0.5)
    batch = toy_pair(forget=2, retain=1, seed=0, dtype=torch.float64)
    many, _ = run(Alternate(4, 3), [batch], make)
    few, _ = run(Alternate(2, 1), [batch], make)
    assert_close(many.parameters, [p.detach() for p in few.parameters])
    lists = {side: [part] for side, part in batch.items()}
    alone, _ = run(Alternate(3, 2), [lists], make)
    once, _ = run(Alternate(1, 1), [batch], make)
    assert_close(alone.parameters, [p.detach() for p in once.parameters])


def test_a_step_whose_gradient_is_not_finite_is_left_out_and_counted() -> None:
    class Spoil(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, bad: Tensor) -> Tensor:
            ctx.save_for_backward(bad)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return grad * torch.where(ctx.saved_tensors[0], torch.nan, 1.0), None

    class Spoilt(AscentNLL):
        def forward(self, model: Any, batch: Any, reference: Any = None) -> Any:
            found = super().forward(model, batch, reference)
            return type(found)(Spoil.apply(found.sums, batch["index"] == 1), found.counts)

    strategy = Alternate(3, 1)
    batch = toy_pair(forget=3, retain=2, seed=0, dtype=torch.float64)
    host, (report,) = run(strategy, [batch], OPTIMIZERS["AdamW"], forget=Spoilt())
    assert strategy.broken_steps.item() == 1
    assert report.skipped is None
    rest = {"forget": rows(batch["forget"], torch.tensor([0, 2])), "retain": batch["retain"]}
    expected, _ = run(Alternate(2, 1), [rest], OPTIMIZERS["AdamW"])
    assert_close(host.parameters, [p.detach() for p in expected.parameters])
    assert "broken_steps" in strategy.state_dict()


def test_a_loss_that_is_not_finite_names_side_and_round() -> None:
    batch = pairs(1)[0]
    batch["retain"]["inputs"][0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="The retain loss must stay finite. Found nan in round 0"):
        run(Alternate(2, 2), [batch], OPTIMIZERS["SGD"])


def test_a_held_side_is_measured_once_and_does_not_move() -> None:
    host = host_for(model())
    host.held = {"forget"}
    asked: list[str] = []
    gradients = host.gradients
    host.gradients = lambda side, batch: (asked.append(side), gradients(side, batch))[1]  # type: ignore[method-assign]
    report = Alternate(4, 2).step(host, pairs(1)[0])
    assert asked == ["forget", "retain", "retain"]
    assert set(report.losses) == {"forget", "retain"}
    network = model()
    optimizer = OPTIMIZERS["SGD"](network.parameters())
    for t in range(2):
        optimizer.zero_grad()
        network.losses(rows(pairs(1)[0]["retain"], slice(t, None, 2))).mean().backward()
        optimizer.step()
    assert_close(host.parameters, [p.detach() for p in network.parameters()])


def test_a_round_in_which_nothing_moved_is_skipped() -> None:
    host = host_for(model())
    host.held = {"forget", "retain"}
    assert Alternate(2, 2).step(host, pairs(1)[0]).skipped == "the gradients vanish"


# ---------------------------------------------------------------------------------------- reports, passes


def test_losses_are_those_before_each_sides_first_step() -> None:
    batch = pairs(1)[0]
    network = model()
    expected_f = -network.losses(rows(batch["forget"], slice(0, None, 2))).mean().item()
    _, (report,) = run(Alternate(2, 1), [batch], OPTIMIZERS["SGD"])
    assert report.losses["forget"].item() == pytest.approx(expected_f, rel=1e-12)
    assert list(report.losses) == ["forget", "retain"]
    assert not any(loss.requires_grad for loss in report.losses.values())


def test_passes_are_whole_rounds_of_one_side_by_the_rounds_number() -> None:
    strategy = Alternate(2, 3, mode="pass")
    host, reports = run(strategy, pairs(7), OPTIMIZERS["SGD"])
    sides = ["forget", "forget", "retain", "retain", "retain", "forget", "forget"]
    assert [list(report.losses) for report in reports] == [[side] for side in sides]
    network = model()
    optimizer = OPTIMIZERS["SGD"](network.parameters())
    for side, pair in zip(sides, pairs(7), strict=True):
        optimizer.zero_grad()
        (SIGN[side] * network.losses(pair[side]).mean()).backward()
        optimizer.step()
    assert_close(host.parameters, [p.detach() for p in network.parameters()])
    resumed = host_for(model())
    resumed.round = 5
    assert list(Alternate(2, 3, mode="pass").step(resumed, pairs(1)[0]).losses) == ["forget"]


@pytest.mark.parametrize("steps", [(1, 1), (2, 1), (1, 3)])
def test_turns_count_the_batches_of_whole_passes(steps: tuple[int, int]) -> None:
    strategy, rounds = Alternate(*steps, mode="pass"), {"forget": 2, "retain": 3}
    cycle = ["forget"] * 2 * steps[0] + ["retain"] * 3 * steps[1]
    for round_ in range(3 * len(cycle)):
        before = (cycle * 3)[:round_]
        assert strategy.turns(round_, rounds) == {side: before.count(side) for side in rounds}
        assert strategy.schedule(round_, rounds) == [(cycle * 3)[round_]]
    host = host_for(model())
    host.pass_rounds, host.round = rounds, 2 * steps[0]
    assert list(strategy.step(host, pairs(1)[0]).losses) == ["retain"], "the host says how long a pass is"
    assert Alternate(*steps).turns(5, rounds) is None and NGDiff().turns(5, rounds) is None


def test_forget_steps_end_after_as_many_cycles_as_asked_for() -> None:
    strategy, rounds = Alternate(mode="pass", forget_cycles=2), {"forget": 2, "retain": 3}
    sides = [strategy.schedule(round_, rounds)[0][0] for round_ in range(16)]
    assert "".join(sides) == "ffrrr" * 2 + "rrr" * 2
    for round_ in range(16):
        assert strategy.turns(round_, rounds) == {
            side: sides[:round_].count(side[0]) for side in ("forget", "retain")
        }
    within = Alternate(1, 2, forget_cycles=1)
    assert [within.schedule(round_) for round_ in (0, 1)] == [["forget", "retain", "retain"], ["retain"] * 2]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gen_fits_along_the_displacement_of_the_whole_round(optimizer: str) -> None:
    """With more retain steps than forget steps the retain loss falls along it."""
    host = host_for(model(), OPTIMIZERS[optimizer])
    gen, strategy = GeNCore(1, "paper"), Alternate(1, 4, forget_rate=0.1)
    scales = []
    for pair in pairs(6, forget=6, retain=12):
        gen.step(strategy, host, pair)
        scales.append(host.lr_scale)
    assert len(set(scales)) > 2
    assert all(scale > 0 for scale in scales)


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"forget_steps": 0},
            "`forget_steps` must be a whole number of 1 or above. Found 0. Use e.g. forget_steps=1.",
        ),
        ({"retain_steps": -2}, "`retain_steps` must be a whole number of 1 or above. Found -2."),
        ({"forget_clip": 0.0}, "`forget_clip` must be above 0, or None. Found 0.0."),
        ({"retain_rate": -1.0}, "`retain_rate` must be 0 or above. Found -1.0."),
        ({"forget_decay": 1.5}, r"`forget_decay` must be in \[0, 1\]. Found 1.5."),
        ({"retain_decay": float("nan")}, "`retain_decay` must be in"),
        (
            {"forget_fade": 0},
            "`forget_fade` must be a whole number of rounds of 1 or above, or None. Found 0.",
        ),
        ({"forget_weight": 0.0}, "`forget_weight` must be above 0. Found 0.0."),
        ({"forget_cycles": 0}, "`forget_cycles` must be a whole number of 1 or above, or None. Found 0."),
    ],
)
def test_bad_arguments_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Alternate(**settings)


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(UnknownNameError, match="`mode` must be one of: batch, pass. Found 'epoch'"):
        Alternate(mode="epoch")


def test_second_answers_go_with_their_samples():
    batch = {
        "index": torch.arange(5),
        "alternative": {"index": torch.arange(5), "choice": torch.arange(5) + 7},
    }
    for given in (batch, [batch]):
        shares = _shares(given, 2)
        firsts = [share[0] if isinstance(share, list) else share for share in shares]
        assert [len(share["index"]) for share in firsts] == [
            len(share["alternative"]["index"]) for share in firsts
        ]
    assert _shares(batch, 2)[1]["alternative"]["choice"].tolist() == [8, 10]
