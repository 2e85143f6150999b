"""Optimizer states in 8 bits: how they are laid out, named and cut."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard

from unlearnkit.errors import ConfigurationError
from unlearnkit.optim.block_codes import BLOCK, Library, block_codes, require_library
from unlearnkit.sharding import local_part

SMALLEST = 4096
"""Tensors with fewer elements stay as they are: they take no memory, and are the touchy ones (norms, biases)."""

SCALE = "/scale"
"""What the name of a state's scales ends in."""

State = dict[str, Tensor]


class Quantizer:
    """Keep states in 8 bits (blocks of 256, dynamic code book); run on the CPU, CUDA not tried.

    A state is two plain tensors, its codes under its own name and its scales beside it, because those go through
    every kind of checkpoint; torchao's tensor of both does not (Lightning's ``torch.load`` cannot place it). Under
    FSDP2 both are cut like the parameter. Where the ranks' parts are not equal or not whole blocks, all of them
    keep the parameter's type, because ranks must agree on what a state is.

    Args:
        library: What finds the codes. The layout is the same, so that a checkpoint goes on with either.

    Raises:
        UnknownNameError: There is no such library.
        MissingDependencyError: It is not installed.

    >>> quantizer, state = Quantizer(), {}
    >>> quantizer.allocate(state, "exp_avg", torch.zeros(64, 64))
    True
    >>> quantizer.narrow_(state, "exp_avg", torch.full((64, 64), 3.0))
    >>> quantizer.widen(state, "exp_avg")[0, 0].item(), {name: value.dtype for name, value in state.items()}
    (3.0, {'exp_avg': torch.uint8, 'exp_avg/scale': torch.float32})
    """

    def __init__(self, library: Library = "torchao") -> None:
        self._codes = block_codes(library)

    def allocate(self, state: State, name: str, parameter: Tensor) -> bool:
        """Make a state of zeros, where the parameter is large enough and cut in whole blocks; say whether it is."""
        if not _fits(parameter):
            return False
        part = local_part(parameter)
        scales = torch.zeros(part.numel() // BLOCK, dtype=torch.float32, device=part.device)
        state[name] = torch.zeros_like(parameter, dtype=torch.uint8, requires_grad=False)
        state[name + SCALE] = _cut(scales, parameter)
        return True

    def widen(self, state: State, name: str, signed: bool = True, squares: bool = False) -> Tensor:
        """Return this rank's part of a state in fp32; ``signed`` and ``squares`` as it was written."""
        codes, scales = local_part(state[name]), local_part(state[name + SCALE])
        wide = self._codes.read(codes.view(-1), scales, signed).view(codes.shape)
        return wide * wide.abs() if squares else wide

    def narrow_(
        self, state: State, name: str, value: Tensor, signed: bool = True, squares: bool = False
    ) -> None:
        """Write a tensor, or this rank's part of it, into a state.

        Args:
            state: A parameter's states.
            name: Which of them.
            value: What it is to hold.
            signed: Whether values below zero occur; without them all codes serve the others.
            squares: Whether these are squares, whose signed roots are kept: a block's codes reach seven decades
                down, which for squares is three and a half of gradients, and a second moment rounded to 0 makes
                a step of ``u / eps``.
        """
        wide = local_part(value).float().contiguous()
        if squares:
            wide = wide.abs().sqrt().copysign(wide)
        codes, scales = self._codes.write(wide.view(-1), signed)
        local_part(state[name + SCALE]).copy_(scales)
        local_part(state[name]).copy_(codes.view(wide.shape))


def quantizer(state_bits: int, state_library: Library) -> Quantizer | None:
    """Return what keeps states in 8 bits, or None for states of 32.

    Raises:
        ConfigurationError: ``state_bits`` is neither.
        UnknownNameError: There is no such library.
        MissingDependencyError: ``state_bits=8`` without it.

    >>> quantizer(32, "bitsandbytes")
    """
    if state_bits not in (8, 32):
        raise ConfigurationError(
            f"`state_bits` must be 32 or 8. Found {state_bits}. Use 8 to quarter the states' memory."
        )
    require_library(state_library)
    return Quantizer(state_library) if state_bits == 8 else None


def holds(state: State, name: str) -> bool:
    """Say whether a state has 8 bits.

    >>> holds({"exp_avg": torch.zeros(2)}, "exp_avg")
    False
    """
    return name + SCALE in state


def _fits(parameter: Tensor) -> bool:
    part = local_part(parameter)
    if isinstance(parameter, DTensor):
        for axis, where in enumerate(parameter.placements):
            even = where == Shard(0) and parameter.shape[0] % parameter.device_mesh.size(axis) == 0
            if not even and where != Replicate():
                return False
    whole = part.is_contiguous() and part.numel() % BLOCK == 0
    return whole and part.numel() >= SMALLEST and parameter.is_floating_point()


def _cut(scales: Tensor, parameter: Tensor) -> Tensor:
    """Return this rank's scales as a tensor that is cut like the parameter."""
    if not isinstance(parameter, DTensor):
        return scales
    shape = torch.Size([parameter.numel() // BLOCK])
    return DTensor.from_local(
        scales, parameter.device_mesh, parameter.placements, run_check=False, shape=shape, stride=(1,)
    )


def like(parameter: Tensor, part: Tensor) -> Tensor:
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
