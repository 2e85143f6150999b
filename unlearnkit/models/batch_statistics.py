"""Layers that carry running statistics, and how to go through them without moving these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def statistics_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers that carry running statistics, whatever they are called in the model's library."""
    names = ("running_mean", "running_var")
    return [
        layer
        for layer in model.modules()
        if any(isinstance(layer._buffers.get(name), Tensor) for name in names)
    ]


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch norm use its running statistics inside the block, and leave them as they are.

    Layers that share statistics over processes stay as they are: their exchange is one that all ranks make.

    >>> layer = nn.BatchNorm1d(2)
    >>> with still_statistics(layer):
    ...     _ = layer(Tensor([[1.0, 2.0]]))  # in train mode one sample alone is refused
    >>> layer.running_mean.tolist(), layer.training
    ([0.0, 0.0], True)
    """
    held = [
        layer
        for layer in statistics_layers(model)
        if layer.training and not isinstance(layer, nn.SyncBatchNorm)
    ]
    for layer in held:
        layer.training = False
    try:
        yield
    finally:
        for layer in held:
            layer.training = True
