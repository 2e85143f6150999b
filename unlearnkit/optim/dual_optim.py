"""DualOptim: one optimizer for each side, as one (paper 002, eq. 1 and algorithm 1)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlearnkit.batches import SIDES, Side
from unlearnkit.errors import ConfigurationError
from unlearnkit.optim.block_codes import Library
from unlearnkit.optim.sided import SidedOptimizer, require_parameters, require_rate
from unlearnkit.optim.state_8bit import SCALE, holds, like, quantizer

Factory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

CHUNK = 2**24
"""Elements whose 8-bit states are widened at a time."""

SQUARES = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")
"""States of torch's optimizers that hold squares of gradients."""


class DualOptim(SidedOptimizer):
    """Any two torch optimizers over the same parameters, each with states of its own (paper 002, algorithm 1).

    The states carry the side in their names (``forget/exp_avg``), so that one checkpoint holds both; two
    optimizers in one distributed checkpoint would overwrite each other. Settings other than the rate stand in
    the groups in the same way (``retain/momentum``).

    Args:
        params: Parameters or groups of them.
        forget: Makes the forget side's optimizer; the paper takes Adam.
        retain: Makes the retain side's; the paper takes that of pretraining (SGD for images, AdamW for language).
            Its rate is the group's ``lr``, which schedulers set; the other keeps its ratio to it.
        state_bits: 32 keeps states as the two make them; 8 in blocks of 256 that share a scale.
        state_library: What finds the codes of 8 bits; with ``bitsandbytes`` a step takes a third of the time on a
            CPU (benchmarks/README.md). A checkpoint goes on with either.

    Raises:
        ConfigurationError: There is no parameter, the retain side's rate is not above 0, or an optimizer needs a
            closure (LBFGS) or, found at the first step, keeps states that are no tensors.
        UnknownNameError: ``state_library`` is none of the two.
        MissingDependencyError: ``state_bits=8`` without that library.

    >>> import functools
    >>> weight = nn.Parameter(torch.ones(1))
    >>> optimizer = DualOptim([weight], forget=functools.partial(torch.optim.AdamW, lr=0.1, weight_decay=0.0),
    ...     retain=functools.partial(torch.optim.SGD, lr=0.5, momentum=0.9))
    >>> weight.grad = torch.tensor([0.5])
    >>> optimizer.step(side="forget")
    >>> optimizer.step(side="retain")
    >>> round(weight.item(), 4), [name for name in sorted(optimizer.state[weight]) if "begun" not in name]
    (0.65, ['forget/exp_avg', 'forget/exp_avg_sq', 'forget/step', 'retain/momentum_buffer'])
    """

    def __init__(
        self,
        params: Iterable[Any],
        forget: Factory,
        retain: Factory,
        state_bits: Literal[32, 8] = 32,
        state_library: Library = "torchao",
    ) -> None:
        groups = require_parameters(params, "DualOptim")
        self.quantize: Any = quantizer(state_bits, state_library)
        self._factories: dict[Side, Factory] = {"forget": forget, "retain": retain}
        self._inner = {side: make(_fresh(groups)) for side, make in self._factories.items()}
        for side, inner in self._inner.items():
            _require_no_closure(side, inner)
        own = []
        for f, r in zip(self._inner["forget"].param_groups, self._inner["retain"].param_groups, strict=True):
            require_rate("retain.lr", r["lr"], zero=False)
            group = {"params": r["params"], "lr": r["lr"], "forget_ratio": float(f["lr"]) / float(r["lr"])}
            for side, theirs in (("forget", f), ("retain", r)):
                group |= {
                    f"{side}/{name}": value for name, value in theirs.items() if name in _settings(theirs)
                }
            own.append(group)
        names = ", ".join(f"{side}={type(self._inner[side]).__name__}" for side in SIDES)
        super().__init__(own, f"DualOptim({names}, state_bits={state_bits})")

    def allocate(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Make each side's states as its optimizer makes them, from a step on a stand-in that is thrown away."""
        for side, make in self._factories.items():
            stand_in = nn.Parameter(torch.zeros_like(parameter))
            stand_in.grad = torch.zeros_like(parameter)
            scratch = make([stand_in])
            for mine in scratch.param_groups:
                mine.update({name: group[f"{side}/{name}"] for name in _settings(mine)})
            scratch.step()
            self._keep(parameter, side, scratch.state[stand_in])
            self.state[parameter][f"{side}/begun"] = torch.zeros((), dtype=torch.float32)

    def move(self, side: Side) -> None:
        """Let one side's optimizer step, with its states."""
        inner = self._inner[side]
        for own, theirs in zip(self.param_groups, inner.param_groups, strict=True):
            theirs.update({name: own[f"{side}/{name}"] for name in _settings(theirs)})
            theirs["lr"] = self.rate(own, side)
        for chosen in self._portions():
            for some, theirs in zip(chosen, inner.param_groups, strict=True):
                theirs["params"] = some
                for parameter in some:
                    inner.state[parameter] = self._lend(parameter, side)
            inner.step()
            for parameter in (p for some in chosen for p in some):
                self._keep(parameter, side, inner.state.pop(parameter))

    def _portions(self) -> Iterator[list[list[nn.Parameter]]]:
        """Give the parameters with gradients by group: all at once, or a few at a time where states are widened."""
        ready = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        if self.quantize is None:
            yield ready
            return
        portion: list[list[nn.Parameter]] = [[] for _ in ready]
        size = 0
        for place, parameters in enumerate(ready):
            for parameter in parameters:
                if size and size + parameter.numel() > CHUNK:
                    yield portion
                    portion, size = [[] for _ in ready], 0
                portion[place].append(parameter)
                size += parameter.numel()
        if size:
            yield portion

    def _lend(self, parameter: nn.Parameter, side: Side) -> dict[str, Any]:
        """Return one side's states under the names its optimizer knows; none before its first step."""
        state, start = self.state[parameter], f"{side}/"
        if not state[f"{side}/begun"].item():
            # Zeros are not what every optimizer starts from: it makes them anew, as if nothing had been allocated.
            state[f"{side}/begun"].fill_(1.0)
            return {}
        lent = {}
        for name, value in state.items():
            short = name.removeprefix(start)
            if short == name or short == "begun" or name.endswith(SCALE):
                continue
            if holds(state, name):
                wide = self.quantize.widen(state, name, short not in SQUARES, short in SQUARES)
                value = like(parameter, wide.to(parameter.dtype))
            lent[short] = value
        return lent

    def _keep(self, parameter: nn.Parameter, side: Side, found: dict[str, Any]) -> None:
        """Take over what one side's optimizer made of its states."""
        state = self.state[parameter]
        for name, value in found.items():
            if value is None:
                continue  # where an optimizer has no use for a state
            if not isinstance(value, Tensor):
                raise ConfigurationError(
                    f"`{side}` of DualOptim must make an optimizer whose states are tensors, as checkpoints by side "
                    f"keep them. Found {name!r} of {type(self._inner[side]).__name__}, of type "
                    f"{type(value).__name__}. Use one of torch's, e.g. AdamW or SGD."
                )
            full = f"{side}/{name}"
            if self._narrow(parameter, full, value):
                self.quantize.narrow_(state, full, value, name not in SQUARES, name in SQUARES)
            else:
                state[full] = value

    def _narrow(self, parameter: nn.Parameter, name: str, value: Tensor) -> bool:
        """Say whether a state is kept in 8 bits; make its place at the first time."""
        state = self.state[parameter]
        if self.quantize is None or holds(state, name):
            return self.quantize is not None
        wanted = value.shape == parameter.shape and id(parameter) not in self._full_precision
        return wanted and bool(self.quantize.allocate(state, name, parameter))

    def counter_device(self, parameter: nn.Parameter, name: str, group: dict[str, Any]) -> torch.device:
        """Return the parameter's device where torch's fused or capturable code counts there, else the processor's."""
        side = name.partition("/")[0]
        there = group.get(f"{side}/fused") or group.get(f"{side}/capturable")
        return parameter.device if there and not name.endswith("/begun") else torch.device("cpu")


def _require_no_closure(side: Side, inner: torch.optim.Optimizer) -> None:
    """Refuse an optimizer that evaluates the loss itself: here the strategy has done so for one side."""
    closure = inspect.signature(inner.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigurationError(
            f"`{side}` of DualOptim must make an optimizer that steps along gradients that are there. Found "
            f"{type(inner).__name__}, whose step needs a closure. Use e.g. AdamW or SGD."
        )


def _settings(group: dict[str, Any]) -> list[str]:
    """Return the names of a group's settings: not its parameters, not its rate."""
    return [name for name in group if name not in ("params", "param_names", "lr", "initial_lr")]


def _fresh(groups: list[dict[str, Any]]) -> list[Any]:
    """Return parameters or groups for an optimizer to keep; it writes into the groups that it is given."""
    if len(groups) == 1 and set(groups[0]) == {"params"}:
        return list(groups[0]["params"])
    return [dict(group, params=list(group["params"])) for group in groups]
