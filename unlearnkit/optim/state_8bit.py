"""Optimizer states in 8 bits: the one place that knows torchao's tensor."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from unlearnkit.errors import MissingDependencyError
from unlearnkit.sharding import local_part

BLOCK = 256
"""Elements that share a scale."""

SMALLEST = 4096
"""Tensors with fewer elements stay as they are: they take no memory, and are the touchy ones (norms, biases)."""


class Quantizer:
    """Make, widen and narrow states of 8 bits (blocks of 256, dynamic code book), on the CPU and on CUDA.

    Under FSDP2 a state is cut like its parameter. Where the ranks' parts are not equal or not whole blocks, all
    of them keep the parameter's type, because ranks must agree on what a state is.

    Raises:
        MissingDependencyError: torchao is not installed.

    >>> quantizer = Quantizer()
    >>> state = quantizer.zeros(torch.zeros(64, 64), signed=True)
    >>> quantizer.narrow_(state, torch.full((64, 64), 3.0))
    >>> quantizer.widen(state)[0, 0].item(), quantizer.holds(torch.zeros(64, 64))
    (3.0, False)
    """

    def __init__(self) -> None:
        self.state_type = _state_type()

    def holds(self, state: Tensor) -> bool:
        """Say whether a state has 8 bits."""
        return isinstance(local_part(state), self.state_type)

    def zeros(self, parameter: Tensor, signed: bool) -> Tensor:
        """Return a state of zeros: 8 bits where the parameter is large enough and cut in whole blocks.

        Args:
            parameter: Gives shape, type and shards.
            signed: Whether values below zero occur; without them half the codes are not lost.
        """
        if not _fits(parameter):
            return torch.zeros_like(parameter, requires_grad=False)
        part = local_part(parameter)
        state: Tensor = self.state_type.zeros(part.shape, signed, BLOCK, part.device, dtype=part.dtype)
        return self.like(parameter, state)

    def like(self, parameter: Tensor, part: Tensor) -> Tensor:
        """Return this rank's part as a tensor that is cut like the parameter."""
        if not isinstance(parameter, DTensor):
            return part
        return DTensor.from_local(
            part,
            parameter.device_mesh,
            parameter.placements,
            run_check=False,
            shape=parameter.shape,
            stride=parameter.stride(),
        )

    def widen(self, state: Tensor, squares: bool = False) -> Tensor:
        """Return this rank's part of a state in its own type; ``squares`` as it was written."""
        found: Any = local_part(state)
        wide: Tensor = found.dequantize()
        return (wide * wide.abs() if squares else wide).to(found.dtype)

    def narrow_(self, state: Tensor, value: Tensor, squares: bool = False) -> None:
        """Write a tensor, or this rank's part of it, into this rank's part of a state.

        Args:
            state: One with 8 bits.
            value: What it is to hold.
            squares: Whether these are squares, whose signed roots are kept: a block's codes reach seven decades
                down, which for squares is three and a half of gradients, and a second moment rounded to 0 makes
                a step of ``u / eps``.
        """
        wide = local_part(value).float()
        local_part(state).copy_(wide.abs().sqrt().copysign(wide) if squares else wide)


def _fits(parameter: Tensor) -> bool:
    part = local_part(parameter)
    if isinstance(parameter, DTensor):
        for axis, where in enumerate(parameter.placements):
            if isinstance(where, Shard) and parameter.shape[where.dim] % parameter.device_mesh.size(axis):
                return False
    return part.numel() >= SMALLEST and part.numel() % BLOCK == 0 and parameter.is_floating_point()


def _state_type() -> Any:
    """Return torchao's tensor; its import has torch log a line about enums, which nobody could act on."""
    logger = logging.getLogger("torch.utils._pytree")
    logger.addFilter(_no_enums)
    try:
        from torchao.optim.subclass_8bit import OptimState8bit
    except ImportError as error:
        raise MissingDependencyError.extra("torchao", "quant") from error
    finally:
        logger.removeFilter(_no_enums)
    return OptimState8bit


def _no_enums(record: logging.LogRecord) -> bool:
    return "is an Enum subclass" not in record.getMessage()
