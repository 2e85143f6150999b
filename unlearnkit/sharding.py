"""What sharded parameters (FSDP2) need: their local parts, how often a part is held, and resharding before writes."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate

from unlearnkit.errors import ConfigurationError


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


def first_element(tensor: Tensor) -> int:
    """Return where this rank's part begins in the flattened whole; 0 for a whole tensor.

    DTensor cuts rows as ``torch.chunk`` does, one dimension of the mesh after the other.

    Raises:
        ConfigurationError: The tensor is cut along columns, so its part is not one run of elements.

    >>> first_element(torch.zeros(3, 2))
    0
    """
    if not isinstance(tensor, DTensor):
        return 0
    row, rows = 0, tensor.shape[0] if tensor.dim() else 1
    for dimension, where in enumerate(tensor.placements):
        if where.is_replicate():
            continue
        if not where.is_shard(0):
            raise ConfigurationError(
                f"`placements` must cut tensors along rows. Found {where!r}. Shard with FSDP2's default, Shard(0)."
            )
        chunk = -(-rows // tensor.device_mesh.size(dimension))
        start = min(tensor.device_mesh.get_local_rank(dimension) * chunk, rows)
        row, rows = row + start, min(chunk, rows - start)
    return row * math.prod(tensor.shape[1:])


def sum_over_parts(parts: list[Tensor], parameters: list[Tensor]) -> Tensor:
    """Return the sum of numbers that were computed from this rank's parts of parameters, 0-d, with its gradient.

    Sharded parameters make a DTensor, whose ``full_tensor()`` is the sum over all ranks. DTensor's own arithmetic does
    not serve here: it gathers what it takes for broadcast, a weight of one row, for which other ranks have no room.

    Args:
        parts: A 0-d tensor of each parameter's ``local_part``.
        parameters: Sharded alike, or all whole.

    >>> sum_over_parts([torch.tensor(1.0), torch.tensor(2.0)], [torch.zeros(1), torch.zeros(1)]).item()
    3.0
    """
    total = torch.stack(parts).sum()
    first = parameters[0]
    if not isinstance(first, DTensor):
        return total
    once = [Replicate() if where.is_replicate() else Partial() for where in first.placements]
    return DTensor.from_local(total, first.device_mesh, once, run_check=False)


@torch.no_grad()
def scale_(tensors: list[Tensor], factor: Tensor) -> None:
    """Multiply tensors in place by one number, a 0-d tensor on their device; sharded and whole ones may be mixed."""
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(local_part(tensor))
    for dtype, parts in by_type.items():
        torch._foreach_mul_(parts, factor.to(dtype))


_GATHERED: WeakKeyDictionary[nn.Module, torch.dtype] = WeakKeyDictionary()


def shard_module(module: nn.Module, mesh: DeviceMesh, gather: torch.dtype | None = None) -> None:
    """Shard the parameters of a module that no inner module has sharded yet, in place.

    Args:
        module: Whole and equal on every rank.
        mesh: One-dimensional mesh of the ranks.
        gather: Type in which the module computes with gathered parameters, or None for their own. Gradients are
            reduced in fp32 all the same, and the shards, which the optimizer moves, keep their type.
    """
    if gather is None:
        fully_shard(module, mesh=mesh)
        return
    policy = MixedPrecisionPolicy(param_dtype=gather, reduce_dtype=torch.float32)
    fully_shard(module, mesh=mesh, mp_policy=policy)
    _GATHERED[module] = gather


def gathered_type(model: nn.Module) -> torch.dtype | None:
    """Return the type in which a sharded model's parameters are gathered, or None where it is their own.

    >>> gathered_type(nn.Linear(2, 2)) is None
    True
    """
    return next((_GATHERED[module] for module in model.modules() if module in _GATHERED), None)


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
