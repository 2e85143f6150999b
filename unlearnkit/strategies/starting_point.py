"""StartingPoint: the target's trainable parameters and buffers, which a search for weights returns to."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from unlearnkit.gradients.inner_products import length
from unlearnkit.host import Host


class StartingPoint:
    """Keep a copy of what training changes of a model, on the device it is on.

    Args:
        model: The model, before the first round and before it is sharded.

    >>> model = nn.Linear(1, 1)
    >>> StartingPoint(model).digest == StartingPoint(model).digest
    True
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = [p.detach().clone() for p in model.parameters() if p.requires_grad]
        self.buffers = [part.detach().clone() for part in model.buffers()]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that depend on every byte."""
        found = hashlib.sha256()
        for tensor in [*self.parameters, *self.buffers]:
            found.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()[:16]

    def distance(self, parameters: list[nn.Parameter]) -> float:
        """Return how far parameters are from the start, Euclidean."""
        there = zip(parameters, self.parameters, strict=True)
        return length([own.detach().double() - start.to(own.device).double() for own, start in there])

    @torch.no_grad()
    def restore(self, host: Host) -> None:
        """Put the host's model back here, with an empty optimizer."""
        host.restart(self.parameters)
        for buffer, value in zip(host.model.buffers(), self.buffers, strict=True):
            buffer.copy_(value)


def of_first_rank(host: Host, value: Tensor) -> Tensor:
    """Return rank 0's tensor on every rank: others may have computed other bits, and would decide otherwise."""
    rank, world = host.place
    return value if world == 1 else host.rank_sum(value if rank == 0 else torch.zeros_like(value))
