"""Fisher information of a frozen model, by its own samples, and the distance that it weighs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from unlearnkit.gradients.saliency import mean_gradients
from unlearnkit.sharding import local_part, reshard, sharded_modules, sum_over_parts


@contextmanager
def gradients_on(target: nn.Module) -> Iterator[None]:
    """Let a frozen model have gradients within the block, then freeze it and drop them.

    >>> frozen = nn.Linear(2, 1).requires_grad_(False)
    >>> with gradients_on(frozen):
    ...     frozen.weight.requires_grad
    True
    >>> frozen.weight.requires_grad
    False
    """
    target.requires_grad_(True)
    try:
        yield
    finally:
        target.requires_grad_(False)
        for parameter in target.parameters():
            parameter.grad = None


def sample_fisher(target: nn.Module, batches: Iterable[Any]) -> dict[str, Tensor]:
    """Return the mean over batches of the squared gradient of each batch's mean loss, by name of the parameter.

    Where each batch is one sample at many time steps, that is the mean over samples of ``(mean_t grad l_t)^2``.

    Args:
        target: Takes gradients (``gradients_on``); offers ``losses(batch) -> [B]`` and ``counts(batch) -> [B]``.
        batches: The batches, the same on every rank.

    Returns:
        Tensors in the shape, type and place of the parameters, and sharded as they are.
    """
    found = mean_gradients(target, batches, squared=True)
    named = [(name, p) for name, p in target.named_parameters() if p.requires_grad]
    return {name: _in_form_of(p, whole) for (name, p), whole in zip(named, found, strict=True)}


def fisher_distance(model: nn.Module, target: nn.Module, fisher: dict[str, Tensor]) -> Tensor:
    """Return ``sum F (theta - theta*)^2`` over the trainable weights, 0-d.

    Args:
        model: Has ``theta``.
        target: Has ``theta*``.
        fisher: ``F`` by name, in the form of the parameters.

    >>> import torch
    >>> one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> ones = {name: torch.ones_like(p) for name, p in one.named_parameters()}
    >>> fisher_distance(one, one, ones).item(), fisher_distance(one, other, ones).item() > 0
    (0.0, True)
    """
    reshard(sharded_modules(target))
    there = dict(target.named_parameters())
    trained = {name: own for name, own in model.named_parameters() if own.requires_grad}
    squares = [
        (local_part(fisher[name]) * (local_part(own) - local_part(there[name].detach())).square()).sum()
        for name, own in trained.items()
    ]
    return sum_over_parts(squares, list(trained.values()))


def _in_form_of(parameter: Tensor, whole: Tensor) -> Tensor:
    """Return a whole tensor on a parameter's device, in its type, sharded as it is."""
    moved = whole.to(parameter.device, parameter.dtype)
    if not isinstance(parameter, DTensor):
        return moved
    return distribute_tensor(moved, parameter.device_mesh, parameter.placements)
