"""What optimizers with state for each side share: whose step it is, how state is named, checked and restored."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from unlearnkit.batches import SIDES, Side
from unlearnkit.errors import ConfigurationError, MismatchError, UnknownNameError
from unlearnkit.optim.state_8bit import SCALE

COUNTERS = ("step", "begun", "mu_product", "mu", "eta")
"""Last parts of the names of states that are one number of their own type, here and in torch's optimizers."""


class SidedOptimizer(torch.optim.Optimizer):
    """An optimizer whose every step is one side's, which ``step`` is told.

    The group's ``lr`` is the retain side's rate, so that any scheduler of torch sets both: the forget side's
    is ``lr`` times the group's ``forget_ratio``. States are tensors named ``side/name``. Both sides' are
    allocated together, because a distributed checkpoint expects the same names on every save.

    Args:
        groups: Parameter groups, each with at least one parameter.
        kind: What tells its states from another optimizer's, ``Name(argument=value, ...)``; kept in the groups.

    Raises:
        ConfigurationError: There is no parameter.
    """

    by_side: ClassVar[bool] = True

    def __init__(self, groups: list[dict[str, Any]], kind: str) -> None:
        super().__init__(groups, {"kind": kind})
        self.kind = kind
        self._full_precision: set[int] = set()

    def keep_full_precision(self, parameters: Iterable[nn.Parameter]) -> None:
        """Leave the states of these parameters in their own type where others take 8 bits (embeddings)."""
        self._full_precision |= {id(parameter) for parameter in parameters}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, side: Side | None = None) -> Any:
        """Step along the gradients with the state of one side.

        Args:
            closure: Evaluates and backpropagates first.
            side: Whose step; None allocates all states and moves nothing (distributed checkpoints ask so).

        Returns:
            What the closure returned, or None.

        Raises:
            UnknownNameError: ``side`` is no side.
        """
        if side is not None and side not in SIDES:
            raise UnknownNameError.among("side", str(side), SIDES)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not self.state[parameter]:
                    self.allocate(parameter, group)
        if side is not None:
            self.move(side)
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group while the optimizer is being built.

        Raises:
            ConfigurationError: It is built already: both sides' states belong to the groups it was built with.
        """
        if hasattr(self, "kind"):
            raise ConfigurationError(
                f"`param_groups` of {type(self).__name__} must all be given when it is built. Found one more "
                f"({len(param_group['params'])} parameters). Build the optimizer again with all of them."
            )
        super().add_param_group(param_group)

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise ConfigurationError(
            f"`optimizer` {type(self).__name__} must not be copied: torch's copy would lose the sides' states. Found a "
            "deepcopy. Build another one, and hand it state_dict()."
        )

    def allocate(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Make the states of both sides for one parameter."""
        raise NotImplementedError

    def move(self, side: Side) -> None:
        """Step along the gradients with the state of one side; parameters without a gradient stay."""
        raise NotImplementedError

    def rate(self, group: dict[str, Any], side: Side) -> float:
        """Return the learning rate of one side."""
        lr = float(group["lr"])
        return lr * float(group["forget_ratio"]) if side == "forget" else lr

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load states of the same kind, counters with all their digits.

        Raises:
            MismatchError: They are another optimizer's, or were made with arguments that give them another meaning.
        """
        found = {group.get("kind") for group in state_dict["param_groups"]}
        if found != {self.kind}:
            raise _mismatch(self.kind, sorted(str(kind or "an optimizer without sides") for kind in found))
        super().load_state_dict(state_dict)
        for saved, group in zip(state_dict["param_groups"], self.param_groups, strict=True):
            for key, parameter in zip(saved["params"], group["params"], strict=True):
                for name, value in state_dict["state"].get(key, {}).items():
                    # torch casts states to the parameter's type: counters would stop at 256 in bf16, and 8-bit
                    # codes grow fourfold.
                    if name.rpartition("/")[2] in COUNTERS:
                        where = self.counter_device(parameter, name, group)
                        self.state[parameter][name] = value.detach().clone().to(where)
                    elif value.dtype == torch.uint8 or name.endswith(SCALE):
                        self.state[parameter][name] = value.detach().clone().to(parameter.device)

    def counter_device(self, parameter: nn.Parameter, name: str, group: dict[str, Any]) -> torch.device:
        """Return where a counter lies: beside the processor, so that reading it synchronises nothing."""
        return torch.device("cpu")


def _mismatch(ours: str, found: list[str]) -> MismatchError:
    """Return the error for states of another kind, which names the arguments where the class is the same."""
    name, mine = _parts(ours)
    other, theirs = _parts(found[0])
    if len(found) > 1 or other != name:
        return MismatchError(
            f"`optimizer` of a checkpoint must be the one that goes on, {ours}. Found the state of "
            f"{', '.join(found)}. Resume with that optimizer, or start a new run from the checkpoint's model."
        )
    unlike = [argument for argument in mine | theirs if mine.get(argument) != theirs.get(argument)]
    here, there = (", ".join(f"{a}={one.get(a)}" for a in unlike) for one in (mine, theirs))
    return MismatchError(
        f"{', '.join(f'`{argument}`' for argument in unlike)} of {name} must be as in the checkpoint, whose states "
        f"mean nothing otherwise. Found {here} here and {there} there. Build the optimizer with the latter, or start "
        "a new run from the checkpoint's model."
    )


def _parts(kind: str) -> tuple[str, dict[str, str]]:
    """Return name and arguments of a kind.

    >>> _parts("DualOptim(forget=AdamW, retain=SGD)")
    ('DualOptim', {'forget': 'AdamW', 'retain': 'SGD'})
    """
    return kind.partition("(")[0], dict(re.findall(r"(\w+)=(\w+)", kind))


def require_parameters(parameters: Iterable[Any], owner: str) -> list[dict[str, Any]]:
    """Return parameters, or groups of them, as a list of groups.

    Raises:
        ConfigurationError: There is none.
    """
    given = list(parameters)
    groups = [dict(one) for one in given] if given and isinstance(given[0], dict) else [{"params": given}]
    for group in groups:
        found = group["params"]
        group["params"] = [found] if isinstance(found, Tensor) else list(found)
    if not all(group["params"] for group in groups):
        raise ConfigurationError(
            f"`params` of {owner} must hold at least one parameter. Found none. Pass model.parameters(), and see that "
            "some of them require gradients."
        )
    return groups


def require_rate(name: str, rate: Any, *, zero: bool = True) -> None:
    """Refuse a learning rate below 0, and 0 itself where a ratio is made of it.

    Raises:
        ConfigurationError: It is out of range.
    """
    if not ((rate >= 0 if zero else rate > 0) and rate < math.inf):
        raise ConfigurationError(
            f"`{name}` must be {'0 or above' if zero else 'above 0'}, a learning rate. Found {rate}. Use e.g. 1e-4."
        )
