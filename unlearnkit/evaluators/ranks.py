"""Sharing the rows of an evaluation among processes, so that all end with the same result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch.distributed

Item = TypeVar("Item")


def place(model: Any) -> tuple[int, int]:
    """Return (rank, number of processes) that share the rows.

    Processes share rows only where each holds all the weights. Sharded weights (FSDP2) are gathered in
    every forward by all processes together, so there each evaluates all rows: the same forwards in step.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    from torch.distributed.tensor import DTensor

    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def share(items: Sequence[Item], rank: int, world: int) -> list[Item]:
    """Return the items of one process.

    >>> share("abcde", 1, 2)
    ['b', 'd']
    """
    return list(items[rank::world])


def gather(own: list[Item], world: int) -> list[Item]:
    """Return the results of all processes in the order of the whole list, the same on each.

    >>> gather([1, 2, 3], 1)
    [1, 2, 3]
    """
    if world == 1:
        return own
    shares: list[list[Item]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(shares, own)
    whole = sum(map(len, shares))
    return [shares[position % world][position // world] for position in range(whole)]
