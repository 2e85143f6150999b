"""The length of a gradient, over all ranks, and clipping by it."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from unlearnkit.gradients.gram import CPU_BLOCK, DEVICE_BLOCK, HALF
from unlearnkit.sharding import local_part, replicas, scale_


@torch.no_grad()
def squared_norm(gradient: list[Tensor]) -> Tensor:
    """Return ``|g|^2``, a 0-d float64 tensor: sharded parameters summed over ranks, replicated ones counted once.

    Args:
        gradient: One tensor per parameter, any shapes.

    >>> squared_norm([torch.tensor([3.0]), torch.tensor([[4.0]])]).item()
    25.0
    """
    total = torch.zeros((), dtype=torch.float64, device=local_part(gradient[0]).device)
    shared = torch.zeros_like(total)
    any_sharded = False
    for tensor in gradient:
        copies, part = replicas(tensor), local_part(tensor).reshape(-1)
        block = CPU_BLOCK if part.is_cpu else DEVICE_BLOCK
        blocks = [x.float() if x.dtype in HALF else x for x in torch.split(part, block)]
        square = torch.stack([x.dot(x) for x in blocks]).double().sum()
        if copies is None:
            total += square
        else:
            shared += square / copies
            any_sharded = True
    if any_sharded:
        dist.all_reduce(shared)
    return total + shared


@torch.no_grad()
def clip_(gradient: list[Tensor], longest: float) -> None:
    """Shorten a gradient in place to at most ``longest``; a shorter one keeps its bits.

    Args:
        gradient: One tensor per parameter; all ranks multiply by the same factor.
        longest: Largest norm, above 0.

    >>> long = [torch.tensor([3.0, 4.0])]
    >>> clip_(long, 1.0)
    >>> [round(x, 6) for x in long[0].tolist()]
    [0.6, 0.8]
    """
    norm = squared_norm(gradient).sqrt()
    # Not finite is the strategy's to skip: 0 times infinity must not make NaN of it here.
    factor = torch.where(norm > longest, longest / norm, 1.0)
    scale_(gradient, torch.where(norm.isfinite(), factor, 1.0))
