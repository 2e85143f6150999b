"""One model on all ranks: the running statistics that each rank has moved by its own batch become their mean."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from unlearnkit.models.batch_statistics import statistics_layers


@torch.no_grad()
def share_statistics(model: nn.Module, rank_sum: Callable[[Tensor], Tensor], world: int) -> None:
    """Replace the running statistics of layers in train mode by their mean over ranks, in place.

    DDP hands rank 0's on, and only before the next forward pass: until then each rank evaluates, probes and scores
    another model. FSDP2 hands on none, and a resumed run would go on from rank 0's on all ranks. A rank's batch is
    normalised by itself all the same, so that its variance leaves out how far ranks' means lie apart. Ranks
    count alike, however many images each had in the round.

    Args:
        model: The model, after a round's forward passes.
        rank_sum: Sums a tensor over all ranks.
        world: Number of ranks.

    >>> layer = nn.BatchNorm1d(1)
    >>> _ = layer(torch.tensor([[0.0], [2.0]]))
    >>> share_statistics(layer, lambda own: own + 0.3, world=2)  # 0.1 here, 0.3 on the other rank
    >>> round(layer.running_mean.item(), 4)
    0.2
    """
    if world == 1:
        return
    # Of layers in eval mode nothing has moved, and a mean of equal numbers need not be that number.
    found = [b for layer in statistics_layers(model) if layer.training for b in _statistics(layer)]
    if not found:
        return
    widest = max((b.dtype for b in found), key=lambda dtype: torch.finfo(dtype).bits)
    mean = rank_sum(torch.cat([b.flatten().to(widest) for b in found])) / world
    for buffer, part in zip(found, torch.split(mean, [b.numel() for b in found]), strict=True):
        buffer.copy_(part.view_as(buffer))


def _statistics(layer: nn.Module) -> list[Tensor]:
    named = (layer._buffers.get(name) for name in ("running_mean", "running_var"))
    return [buffer for buffer in named if buffer is not None]
