"""The gradient of a sum of scalars, part by part, as every measure of alignment returns it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from unlearnkit.host import eval_mode


def summed_gradient(model: Any, parts: Iterable[Callable[[], Tensor]]) -> list[Tensor]:
    """Return the gradient of a sum of scalars; dropout is off, and the parameters' own gradients are left alone.

    Args:
        model: A module.
        parts: Each returns a scalar; its graph is gone before the next one is built.

    Returns:
        One tensor per trainable parameter, in the order of ``named_parameters``; zeros where nothing depends on it.

    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> [found.item() for found in summed_gradient(layer, [lambda: layer(torch.ones(1)).sum()] * 3)]
    [3.0]
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    with eval_mode(model), torch.enable_grad():
        for part in parts:
            found = torch.autograd.grad(part(), parameters, allow_unused=True)
            for whole, one in zip(total, found, strict=True):
                if one is not None:
                    whole += one
    return total
