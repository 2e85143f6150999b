"""DualOptim+: a base state of both sides and a delta state of each (paper 002, eqs. 4 to 6)."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlearnkit.batches import Side
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.optim.block_codes import Library
from unlearnkit.optim.plus_update import Moments, PlusRule, plus_update_
from unlearnkit.optim.sided import SidedOptimizer, require_parameters, require_rate
from unlearnkit.optim.state_8bit import holds, quantizer
from unlearnkit.sharding import local_part

log = logging.getLogger("unlearnkit")

PRESETS: dict[str, PlusRule] = {
    "measured": PlusRule("current", "decoupled", (0.9, 0.95), (0.99, 0.999), v_floor=0.1),
    "slides": PlusRule("current", "plus", (0.9, 0.95), (0.99, 0.999), v_floor=0.1),
    "authors": PlusRule("lagged", "plus", (0.9, 0.95), (0.9, 0.95), negative="abs"),
}
"""Rules by name: what was measured to be steadiest, base and delta of both moments in the paper's order, and the
authors' scripts. What was measured stands in benchmarks/README.md: `lagged` overshoots by half where the sides agree,
`plus` makes steps of ten times the rate where their gradients are of unequal length."""

FIRST = ("base/exp_avg", "forget/exp_avg", "retain/exp_avg")
BASE_SQUARE, SIDE_SQUARES = ("base/exp_avg_sq",), ("forget/exp_avg_sq", "retain/exp_avg_sq")
STATES = {
    "plus": FIRST + BASE_SQUARE + SIDE_SQUARES,
    "decoupled": FIRST + SIDE_SQUARES,
    "shared": FIRST + BASE_SQUARE,
}
"""Names of the states of each rule, beside the counters."""

WHOLE = {"order", "second_moment", "state_bits"}
"""Arguments that say what the states mean."""

CHUNK = 2**24
"""Elements stepped at a time off the CPU: the two temporary copies stay at 64 MiB each."""

Pair = tuple[float, float]


class DualOptimPlus(SidedOptimizer):
    """Adam on a base momentum that both sides share plus a delta of each (paper 002, eqs. 4 to 6).

    With g of side s, where hats divide by one minus the decay to the number of steps:

        D_s <- b1 D_s + (1 - b1)(g - B^),    u = D_s^ + B^,    B <- a1 B + (1 - a1) g

    and the parameters step by ``lr_s u / (sqrt(v) + eps)``. ``order="current"`` updates B first, as the paper
    writes it; ``"lagged"`` last, as its authors' code does. In the mean u is the side's own gradient either way.
    Where the sides agree the deltas vanish and both go on one momentum (Alternate); where they are opposed the
    base does not vanish, but keeps ``-(1 - a1)/(1 + a1)`` of the last gradient.

    A checkpoint must be of the same ``order``, ``second_moment`` and ``state_bits``; ``lr``, decay rates, ``eps``,
    ``negative``, ``v_floor`` and ``weight_decay`` are then the checkpoint's, as with torch's own optimizers.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate of the retain side, and what schedulers set.
        forget_lr: Learning rate of the forget side; None takes ``lr``. Its ratio to ``lr`` is kept.
        preset: Where the arguments below come from when they are None. ``measured``: see
            benchmarks/README.md; ``slides``: current order and base and delta of both moments; ``authors``: their
            scripts (they also decay weights by 0.01, which is left to ``weight_decay``).
        betas: Decay of the deltas' moments.
        base_betas: Decay of the base's. Equal to ``betas`` they double the noise of the update.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled decay, times the side's rate, on each step.
        order: ``current`` or ``lagged``.
        second_moment: ``plus`` has base and delta of g*g too, whose sum can be negative; ``decoupled`` one average
            a side; ``shared`` one for both sides, with the base's decay.
        negative: What becomes of a negative second moment: its absolute value, or zero.
        v_floor: Smallest second moment: a fraction of the base's for ``plus``, of the squared base momentum for
            ``decoupled`` (from a side's second step on). With 0 a coordinate whose second moment is negative
            (``negative="floor"``), or in which a side never has a gradient, steps by ``lr u / eps``.
        state_bits: 32 keeps states in the parameters' type; 8 in blocks of 256 that share a scale.
        state_library: What finds the codes of 8 bits; with ``bitsandbytes`` a step takes a third of the time on a
            CPU (benchmarks/README.md). A checkpoint goes on with either.

    Raises:
        ConfigurationError: An argument breaks its rule, or there is no parameter.
        UnknownNameError: A name is not one of those above.
        MissingDependencyError: ``state_bits=8`` without its library.

    >>> weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    >>> optimizer = DualOptimPlus([weight], lr=0.1)
    >>> weight.grad = torch.tensor([4.0, -4.0])
    >>> optimizer.step(side="forget")
    >>> [round(w, 4) for w in weight.tolist()], sorted(optimizer.state[weight])[:2]
    ([0.9, 1.1], ['base/exp_avg', 'forget/exp_avg'])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        forget_lr: float | None = None,
        preset: Literal["measured", "slides", "authors"] = "measured",
        betas: Pair | None = None,
        base_betas: Pair | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        order: Literal["current", "lagged"] | None = None,
        second_moment: Literal["plus", "decoupled", "shared"] | None = None,
        negative: Literal["abs", "floor"] | None = None,
        v_floor: float | None = None,
        state_bits: Literal[32, 8] = 32,
        state_library: Library = "torchao",
    ) -> None:
        groups = require_parameters(params, "DualOptimPlus")
        require_rate("lr", lr, zero=forget_lr is None)
        ratio = 1.0
        if forget_lr is not None:
            require_rate("forget_lr", forget_lr)
            ratio = forget_lr / lr
        rule = _rule(preset, betas, base_betas, eps, order, second_moment, negative, v_floor)
        if not 0 <= weight_decay < math.inf:
            raise ConfigurationError(
                f"`weight_decay` must be 0 or above. Found {weight_decay}. Use e.g. 0.01."
            )
        self.quantize = quantizer(state_bits, state_library)
        defaults = {
            "lr": lr,
            "forget_ratio": ratio,
            "betas": rule.betas,
            "base_betas": rule.base_betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "negative": rule.negative,
            "v_floor": rule.v_floor,
        }
        for group in groups:
            if WHOLE & group.keys():
                raise ConfigurationError(
                    f"`{min(WHOLE & group.keys())}` of DualOptimPlus must be the same for all parameters. Found it in "
                    "a group. Give it as an argument of the optimizer."
                )
        kind = (
            f"DualOptimPlus(order={rule.order}, second_moment={rule.second_moment}, state_bits={state_bits})"
        )
        super().__init__([defaults | group for group in groups], kind)
        self.order, self.second_moment = rule.order, rule.second_moment
        self._negative: dict[Side, Tensor | int] = {"forget": 0, "retain": 0}
        self._counted: dict[Side, int] = {"forget": 0, "retain": 0}
        _hint_at_noise(rule.betas[0], rule.base_betas[0])

    def allocate(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Make zeros for base and deltas, and both counters."""
        state = self.state[parameter]
        narrow = None if id(parameter) in self._full_precision else self.quantize
        for name in STATES[self.second_moment]:
            if narrow is None or not narrow.allocate(state, name, parameter):
                state[name] = torch.zeros_like(parameter, requires_grad=False)
        for name in ("forget/step", "retain/step"):
            state[name] = torch.zeros((), dtype=torch.float32)

    def move(self, side: Side) -> None:
        """Step along the gradients with the base and one side's delta."""
        for group in self.param_groups:
            lr = self.rate(group, side)
            rule = PlusRule(
                self.order,
                self.second_moment,
                tuple(group["betas"]),
                tuple(group["base_betas"]),
                group["eps"],
                group["negative"],
                group["v_floor"],
            )
            ready = [parameter for parameter in group["params"] if parameter.grad is not None]
            for (steps, own_steps), alike in self._by_counts(ready, side).items():
                for chunk in _chunks(alike):
                    with _Borrowed(self, chunk, side) as moments:
                        negative = plus_update_(
                            rule, moments, lr, 1 - lr * group["weight_decay"], steps, own_steps
                        )
                    if negative is not None:
                        self._negative[side] = self._negative[side] + negative
                        self._counted[side] += sum(p.numel() for p in moments.parameters)
                torch._foreach_add_([self.state[p][f"{side}/step"] for p in alike], 1)

    def _by_counts(
        self, parameters: list[nn.Parameter], side: Side
    ) -> dict[tuple[int, int], list[nn.Parameter]]:
        """Sort parameters by the number of steps of both sides and of one."""
        found: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in parameters:
            state = self.state[parameter]
            counts = {name: int(state[f"{name}/step"]) for name in ("forget", "retain")}
            found.setdefault((sum(counts.values()), counts[side]), []).append(parameter)
        return found

    def diagnostics(self, rank_sum: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return the fraction of second moments that were negative since the last call, by side.

        Args:
            rank_sum: Sums a tensor over ranks; all of them must call.

        Returns:
            ``negative_v/forget`` and ``negative_v/retain``; nothing where second moments cannot be negative.
        """
        if self.second_moment != "plus":
            return {}
        device = local_part(self.param_groups[0]["params"][0]).device
        totals = torch.zeros(2, 2, dtype=torch.float64, device=device)
        for row, side in enumerate(self._negative):
            totals[row, 0] += self._negative[side]
            totals[row, 1] += self._counted[side]
            self._negative[side] = self._counted[side] = 0
        totals = rank_sum(totals)
        fractions = totals[:, 0] / totals[:, 1].clamp_min(1.0)
        return {f"negative_v/{side}": fractions[row] for row, side in enumerate(self._negative)}


class _Borrowed:
    """A chunk's local tensors for the length of a step; 8-bit states are widened, and written back after it."""

    def __init__(self, owner: DualOptimPlus, chunk: list[nn.Parameter], side: Side) -> None:
        self.owner, self.chunk, self.side = owner, chunk, side
        self.wide: list[tuple[dict[str, Tensor], str, Tensor]] = []

    def _form(self, name: str) -> dict[str, bool]:
        """Return how 8 bits hold a state: of squares only a delta's can be negative."""
        squares = name.endswith("_sq")
        delta = self.owner.second_moment == "plus" and not name.startswith("base")
        return {"signed": not squares or delta, "squares": squares}

    def _open(self, name: str) -> list[Tensor]:
        if name not in STATES[self.owner.second_moment]:
            return []
        found = []
        for parameter in self.chunk:
            state = self.owner.state[parameter]
            if self.owner.quantize is not None and holds(state, name):
                wide = self.owner.quantize.widen(state, name, **self._form(name)).to(parameter.dtype)
                self.wide.append((state, name, wide))
                found.append(wide)
            else:
                found.append(local_part(state[name]))
        return found

    def __enter__(self) -> Moments:
        gradients = [local_part(p.grad) for p in self.chunk if p.grad is not None]
        names = ("base/exp_avg", f"{self.side}/exp_avg", "base/exp_avg_sq", f"{self.side}/exp_avg_sq")
        return Moments([local_part(p) for p in self.chunk], gradients, *(self._open(name) for name in names))

    def __exit__(self, *_: object) -> None:
        for state, name, wide in self.wide:
            assert self.owner.quantize is not None
            self.owner.quantize.narrow_(state, name, wide, **self._form(name))


def _chunks(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Give parameters in lists of about ``CHUNK`` elements."""
    chunk: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if chunk and size + parameter.numel() > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(parameter)
        size += parameter.numel()
    if chunk:
        yield chunk


def _rule(
    preset: str,
    betas: Pair | None,
    base_betas: Pair | None,
    eps: float,
    order: Any,
    second_moment: Any,
    negative: Any,
    v_floor: float | None,
) -> PlusRule:
    known = {
        "preset": (preset, list(PRESETS)),
        "order": (order, ["current", "lagged"]),
        "second_moment": (second_moment, ["plus", "decoupled", "shared"]),
        "negative": (negative, ["abs", "floor"]),
    }
    for argument, (found, names) in known.items():
        if found is not None and found not in names:
            raise UnknownNameError.among(argument, str(found), names)
    start = PRESETS[preset]
    for argument, pair in (("betas", betas), ("base_betas", base_betas)):
        if pair is not None and not all(0 <= beta < 1 for beta in pair):
            raise ConfigurationError(
                f"`{argument}` must lie in [0, 1), two averages' decay. Found {tuple(pair)}. Use e.g. (0.9, 0.95)."
            )
    if not eps > 0:
        raise ConfigurationError(f"`eps` must be above 0. Found {eps}. Use e.g. 1e-8.")
    if v_floor is not None and not 0 <= v_floor < math.inf:
        raise ConfigurationError(f"`v_floor` must be 0 or above. Found {v_floor}. Use e.g. 0.01.")
    return PlusRule(
        order or start.order,
        second_moment or start.second_moment,
        betas or start.betas,
        base_betas or start.base_betas,
        eps,
        negative or start.negative,
        start.v_floor if v_floor is None else v_floor,
    )


@functools.cache
def _hint_at_noise(beta: float, base_beta: float) -> None:
    if base_beta <= beta:
        log.info(
            "DualOptimPlus: a base that decays as fast as the deltas (base_betas[0]=%s, betas[0]=%s) doubles the noise "
            "of the update; base_betas=(0.99, 0.999) with betas=(0.9, 0.95) adds a tenth.",
            base_beta,
            beta,
        )
