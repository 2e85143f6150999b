"""What sharded parameters (FSDP2) need: their local parts, how often a part is held, and resharding before writes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor


def local_part(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor, sharing its memory; a whole tensor is its own part."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def replicas(tensor: Tensor) -> int | None:
    """Return how many ranks hold each element of a sharded tensor, or None where every rank holds all of it.

    >>> replicas(torch.zeros(2)) is None
    True
    """
    if not isinstance(tensor, DTensor) or all(where.is_replicate() for where in tensor.placements):
        return None
    mesh = tensor.device_mesh
    return math.prod(mesh.size(i) for i, where in enumerate(tensor.placements) if where.is_replicate())


@torch.no_grad()
def scale_(tensors: list[Tensor], factor: Tensor) -> None:
    """Multiply tensors in place by one number, a 0-d tensor on their device; sharded and whole ones may be mixed."""
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(local_part(tensor))
    for dtype, parts in by_type.items():
        torch._foreach_mul_(parts, factor.to(dtype))


def sharded_modules(model: nn.Module) -> list[FSDPModule]:
    """Return the modules whose parameters FSDP2 shards; none for a model that is whole on each rank.

    >>> sharded_modules(nn.Linear(2, 2))
    []
    """
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def reshard(modules: list[FSDPModule]) -> None:
    """Drop gathered copies of parameters, so that reads and writes reach the shards themselves.

    FSDP2 keeps the root's parameters gathered after a forward pass without gradients (and after the
    forward half of a training pass): until they are dropped, ``model.parameters()`` are the gathered
    copies, and later forward passes use them whatever was written into the shards.
    """
    for module in modules:
        module.reshard()
