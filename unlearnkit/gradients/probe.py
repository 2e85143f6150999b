"""Displacement: the model at ``theta_before + r u`` and bit-exactly back.

Adding a displacement and subtracting it again is not exact: in fp32 46 % of the elements change at
every probe, and in bf16 a hundred probes move the model by a quarter of its size. Both end points
are therefore kept and copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients.gram import CPU_BLOCK, DEVICE_BLOCK, HALF
from unlearnkit.sharding import gathered_type, local_part, replicas, reshard, sharded_modules


class Displacement:
    """What moved the trainable parameters between construction and ``measure``: ``u = after - before``.

    It does not matter who moved them: one optimizer step or several, momentum, weight decay and
    parameter groups are all in u. Each process keeps its own shards (FSDP2): one copy of the
    trainable parameters from construction on, a second one from ``measure`` to ``release``.

    Args:
        model: The model; its trainable parameters are copied now.
        rank_sum: Sums a tensor over all ranks; needed where parameters are sharded.

    Raises:
        ConfigurationError: The model has no trainable parameter.

    >>> import torch
    >>> model = nn.Linear(2, 1, bias=False)
    >>> moved = Displacement(model)
    >>> with torch.no_grad():
    ...     model.weight += torch.tensor([[3.0, 4.0]])
    >>> moved.measure()
    >>> round(moved.norm, 4)
    5.0
    >>> moved.write(-1.0)       # theta_before - u, to evaluate a loss there
    >>> moved.restore()         # where `measure` found the model, bit for bit
    """

    def __init__(self, model: nn.Module, rank_sum: Callable[[Tensor], Tensor] | None = None) -> None:
        self._sharded = sharded_modules(model)
        self._computed_in = gathered_type(model)
        self._rank_sum = rank_sum
        self._settle()
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        if not self._parameters:
            raise ConfigurationError(
                "`model` must have a trainable parameter to be displaced. Found none. "
                "Set requires_grad=True on what may move."
            )
        self._before = [part.clone() for part in self._local()]
        self._after: list[Tensor] | None = None
        self._norm = math.nan
        self._untouched = False

    def _settle(self) -> None:
        """Drop gathered copies: FSDP2 keeps the root's after a forward, and would go on using them."""
        reshard(self._sharded)

    @torch.no_grad()
    def _local(self) -> list[Tensor]:
        """This rank's part of each parameter, sharing its memory."""
        return [local_part(p).detach() for p in self._parameters]

    @torch.no_grad()
    def measure(self) -> None:
        """Take the model as it is now as ``theta_after``."""
        self._settle()
        self._after = [part.clone() for part in self._local()]
        self._norm = self._measured_norm()
        self._untouched = True

    @property
    def norm(self) -> float:
        """``|u|`` over all trainable parameters and ranks; NaN before ``measure``."""
        return self._norm

    @property
    def lowest_precision(self) -> torch.dtype:
        """The coarsest type that parameters have or are gathered in, which bounds how fine a loss can be."""
        types = {part.dtype for part in self._before} | ({self._computed_in} if self._computed_in else set())
        return max(types, key=lambda dtype: torch.finfo(dtype).eps)

    def _measured_norm(self) -> float:
        squares: dict[bool, list[Tensor]] = {True: [], False: []}
        for parameter, before, after in zip(self._parameters, self._before, self._measured(), strict=True):
            square = _squared_distance(before, after)
            held = replicas(parameter)
            squares[held is not None].append(square / (held or 1))
        whole = torch.stack(squares[False]).sum() if squares[False] else squares[True][0].new_zeros(())
        if squares[True]:
            parts = torch.stack(squares[True]).sum()
            whole = whole + (parts if self._rank_sum is None else self._rank_sum(parts))
        return math.sqrt(float(whole))

    def _measured(self) -> list[Tensor]:
        if self._after is None:
            raise ConfigurationError(
                "`Displacement.measure` must be called after the step and before this. "
                "Found a displacement that was not measured, or was released. Call measure() first."
            )
        return self._after

    @torch.no_grad()
    def write(self, r: float) -> None:
        """Write ``theta_before + r u`` into the model; ``r = 0`` and ``r = 1`` are exact copies.

        Half-precision parameters are interpolated in fp32 and rounded once.
        """
        after = self._measured()
        untouched, self._untouched = self._untouched, False
        if r == 1.0 and untouched:
            return
        self._settle()
        here = self._local()
        if r in (0.0, 1.0):
            torch._foreach_copy_(here, self._before if r == 0.0 else after)
            return
        for part, start, end in zip(here, self._before, after, strict=True):
            if part.dtype in HALF:
                part.copy_(torch.lerp(start.float(), end.float(), r))
            else:
                torch.lerp(start, end, r, out=part)

    def restore(self) -> None:
        """Put the model back where ``measure`` found it, bit for bit."""
        self.write(1.0)

    def release(self) -> None:
        """Free both copies; the model stays as it is."""
        self._settle()
        self._before, self._after = [], None


def _squared_distance(before: Tensor, after: Tensor) -> Tensor:
    """Return ``|after - before|^2`` in float64, block by block: a whole difference would be a third copy."""
    block = CPU_BLOCK if after.device.type == "cpu" else DEVICE_BLOCK
    found = [torch.zeros((), dtype=torch.float64, device=after.device)]
    for start, end in zip(
        torch.split(before.reshape(-1), block), torch.split(after.reshape(-1), block), strict=True
    ):
        moved = end.float() - start.float() if end.dtype in HALF else end - start
        found.append(moved.dot(moved).double())
    return torch.stack(found).sum()
