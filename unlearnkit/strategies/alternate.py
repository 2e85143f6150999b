"""Alternate: forget steps, then retain steps."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.batches import SIDES, ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.gradients import clip_, squared_norm
from unlearnkit.host import Host
from unlearnkit.sharding import scale_
from unlearnkit.strategies.base import NON_FINITE, Losses, RoundReport, Strategy, verdict


class Alternate(Strategy):
    """Make T_f steps on the forget side, then T_r on the retain side (paper 002, algorithm 1).

    With one optimizer this is the paper's Alternate; with ``DualOptim`` or ``DualOptimPlus`` these. Its Joint is
    ``FixedWeights(0.5)``: one step on half the sum of both losses.

    A round's batch of a side is shared out among the side's steps, so that a round sees as many samples as with
    any other strategy: micro-batches are dealt out in turn, rows of a single batch likewise. A step whose share is
    empty on all ranks is left out, and so is one whose gradient is not finite.

    In mode ``pass`` it makes T_f passes over the forget data, one step a round with the whole batch, then T_r
    passes over the retain data (an epoch of SCRUB's, SalUn's and DualOptim's loops). Its host says how many rounds
    a pass is (``pass_rounds``); a data module of unlearnkit deals out every row of a side once in them. Handed plain
    batches, where nobody knows, a pass is one round.

    Args:
        forget_steps: T_f, steps on the forget side; in mode ``pass`` whole passes.
        retain_steps: T_r, steps on the retain side; in mode ``pass`` whole passes.
        mode: ``batch`` alternates within each round; ``pass`` in whole passes.
        forget_clip: Largest norm of a forget step's gradient, or None.
        retain_clip: Largest norm of a retain step's gradient, or None.
        forget_rate: Factor on the learning rate of forget steps, for optimizers that have one rate.
        retain_rate: Factor on the learning rate of retain steps.
        forget_decay: What is left of ``forget_rate`` after each round.
        retain_decay: What is left of ``retain_rate`` after each round.
        forget_weight: Factor on the forget loss; it scales the gradient before it is clipped. Adam's steps hardly
            depend on it where its state is the forget side's alone; where both sides share it they do.
        forget_fade: Rounds over which the forget loss's factor falls from 1 to 0 along a half cosine, or None. It
            scales the gradient before it is clipped (SFRon's ``alpha_t``); Adam's steps hardly depend on it.
        forget_cycles: How many times the forget side has its turn before only retain steps are made (SCRUB's
            ``msteps``), or None for as often as the retain side.

    Raises:
        ConfigurationError: A number of steps is below 1, a clip or the weight is not above 0, or a rate or decay is
            out of its range.
        UnknownNameError: ``mode`` is neither of the two.

    >>> Alternate(forget_steps=1, retain_steps=2).schedule(0)
    ['forget', 'retain', 'retain']
    >>> [Alternate(mode="pass").schedule(round, {"forget": 1, "retain": 2}) for round in range(3)]
    [['forget'], ['retain'], ['retain']]
    """

    broken_steps: Tensor
    """How many steps were left out because their gradient was not finite, 0-d int64."""

    def __init__(
        self,
        forget_steps: int = 1,
        retain_steps: int = 1,
        mode: Literal["batch", "pass"] = "batch",
        forget_clip: float | None = None,
        retain_clip: float | None = None,
        forget_rate: float = 1.0,
        retain_rate: float = 1.0,
        forget_decay: float = 1.0,
        retain_decay: float = 1.0,
        forget_weight: float = 1.0,
        forget_fade: int | None = None,
        forget_cycles: int | None = None,
    ) -> None:
        super().__init__()
        self.steps: dict[Side, int] = {"forget": forget_steps, "retain": retain_steps}
        self.clips: dict[Side, float | None] = {"forget": forget_clip, "retain": retain_clip}
        self.rates: dict[Side, float] = {"forget": forget_rate, "retain": retain_rate}
        self.decays: dict[Side, float] = {"forget": forget_decay, "retain": retain_decay}
        if mode not in ("batch", "pass"):
            raise UnknownNameError.among("mode", str(mode), ["batch", "pass"])
        self.mode = mode
        for side in SIDES:
            whole = isinstance(self.steps[side], int) and self.steps[side] >= 1
            _require(f"{side}_steps", self.steps[side], "a whole number of 1 or above", whole, "1")
            clip = self.clips[side]
            _require(f"{side}_clip", clip, "above 0, or None", clip is None or clip > 0, "1.0")
            _require(f"{side}_rate", self.rates[side], "0 or above", 0 <= self.rates[side] < math.inf, "1.0")
            _require(f"{side}_decay", self.decays[side], "in [0, 1]", 0 <= self.decays[side] <= 1, "0.99")
        _require("forget_weight", forget_weight, "above 0", 0 < forget_weight < math.inf, "0.1")
        self.forget_weight = forget_weight
        faded = forget_fade is None or (isinstance(forget_fade, int) and forget_fade >= 1)
        _require("forget_fade", forget_fade, "a whole number of rounds of 1 or above, or None", faded, "300")
        self.forget_fade = forget_fade
        counted = forget_cycles is None or (isinstance(forget_cycles, int) and forget_cycles >= 1)
        _require("forget_cycles", forget_cycles, "a whole number of 1 or above, or None", counted, "2")
        self.forget_cycles = forget_cycles
        self.register_buffer("broken_steps", torch.zeros((), dtype=torch.int64))

    def schedule(self, round: int, pass_rounds: dict[Side, int] | None = None) -> list[Side]:
        """Return the sides of a round's steps, in order; a function of the round's number alone.

        Args:
            round: Number of the round, from 0.
            pass_rounds: Rounds of a pass over each side; None is one round.
        """
        if self.mode == "batch":
            over = self.forget_cycles is not None and round >= self.forget_cycles
            return [side for side in SIDES[over:] for _ in range(self.steps[side])]
        now, then = (self._turns(number, self._lengths(pass_rounds)) for number in (round, round + 1))
        return ["forget" if then["forget"] > now["forget"] else "retain"]

    def turns(self, round: int, pass_rounds: dict[Side, int]) -> dict[Side, int] | None:
        """Return how many batches of each side mode ``pass`` stepped on before a round; None in mode ``batch``."""
        if self.mode == "batch":
            return None
        return self._turns(round, self._lengths(pass_rounds))

    def _turns(self, round: int, lengths: dict[Side, int]) -> dict[Side, int]:
        cycles, place = divmod(round, sum(lengths.values()))
        forget = cycles * lengths["forget"] + min(place, lengths["forget"])
        if self.forget_cycles is not None:
            forget = min(forget, self.forget_cycles * lengths["forget"])
        return {"forget": forget, "retain": round - forget}

    def _lengths(self, pass_rounds: dict[Side, int] | None) -> dict[Side, int]:
        """Return by side in how many rounds its passes are made, before it is the other's turn."""
        return {side: self.steps[side] * (1 if pass_rounds is None else pass_rounds[side]) for side in SIDES}

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Make the round's steps in order; report each side's loss at its first one."""
        schedule = self.schedule(host.round, host.pass_rounds)
        shares = {side: _shares(batch[side], schedule.count(side)) for side in SIDES if side in schedule}
        first: Losses = {}
        reasons: list[str | None] = []
        for side in schedule:
            share = shares[side].pop(0)
            if side in host.held and side in first:
                continue  # its loss is known, and it does not move
            part: Any = {side: share}
            loss, gradients = host.gradients(side, part)
            first.setdefault(side, loss)
            reason = verdict(host, {side: loss}, [squared_norm(gradients)])
            reasons.append(reason)
            self.broken_steps += reason == NON_FINITE
            if reason is None:
                self._step_along(host, gradients, side)
        skipped = reasons[0] if all(reason is not None for reason in reasons) else None
        return RoundReport(first, skipped=skipped)

    def _step_along(self, host: Host, gradients: list[Tensor], side: Side) -> None:
        faded = 1.0 if self.forget_fade is None else half_cosine(host.round, self.forget_fade)
        if side == "forget" and self.forget_weight * faded != 1.0:
            scale_(gradients, gradients[0].new_tensor(self.forget_weight * faded))
        longest = self.clips[side]
        if longest is not None:
            clip_(gradients, longest)
        scale = host.lr_scale
        host.lr_scale = scale * self.rates[side] * self.decays[side] ** host.round
        try:
            host.apply(gradients, side)
        finally:
            host.lr_scale = scale


def half_cosine(round: int, rounds: int) -> float:
    """Return ``(1 + cos(pi round / rounds)) / 2``, and 0 from the last round on.

    >>> [round(half_cosine(k, 4), 2) for k in range(6)]
    [1.0, 0.85, 0.5, 0.15, 0.0, 0.0]
    """
    return 0.5 * (1.0 + math.cos(math.pi * min(round, rounds) / rounds))


def _shares(batch: Any, steps: int) -> list[Any]:
    """Share a batch, or a list of micro-batches, out among steps: step t gets elements t, t + T, ...

    >>> _shares(["a", "b", "c"], 2)
    [['a', 'c'], ['b']]
    >>> [share["x"].tolist() for share in _shares({"x": torch.arange(3)}, 2)]
    [[0, 2], [1]]
    """
    if steps == 1:
        return [batch]
    if isinstance(batch, (list, tuple)):
        # Fewer micro-batches than steps: an empty one keeps the ranks' exchanges alike.
        return [list(batch[t::steps]) or [_rows(batch[0], slice(0, 0))] for t in range(steps)]
    return [_rows(batch, slice(t, None, steps)) for t in range(steps)]


def _rows(batch: dict[str, Any], rows: slice) -> dict[str, Any]:
    """Return some samples of a batch, second answers included."""
    return {name: _rows(part, rows) if isinstance(part, dict) else part[rows] for name, part in batch.items()}


def _require(name: str, found: Any, rule: str, holds: bool, use: str) -> None:
    if not holds:
        raise ConfigurationError(f"`{name}` must be {rule}. Found {found}. Use e.g. {name}={use}.")
