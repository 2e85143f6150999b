"""How far a model has moved from the one it started from, in what it says and in its weights. Down, at equal effect."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.errors import MismatchError


def kl_from_start(logits: Tensor, start_logits: Tensor) -> Tensor:
    """Return ``KL(p || p*) = sum_v p (log p - log p*)`` of each unit, [...], nats, float64.

    The retain objective ``KLToReference`` has it the other way round, ``KL(p* || p)``.

    Args:
        logits: Of the model, [..., classes].
        start_logits: Of the model that it started from, on the same inputs.

    Raises:
        MismatchError: The shapes differ.

    >>> kl_from_start(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 2.0])).item()
    0.433...
    """
    if logits.shape != start_logits.shape:
        raise MismatchError(
            f"`start_logits` must have the shape of `logits`, {tuple(logits.shape)}. Found "
            f"{tuple(start_logits.shape)}. Use a model with the same vocabulary, on the same batch."
        )
    log_p, log_start = logits.double().log_softmax(-1), start_logits.double().log_softmax(-1)
    found: Tensor = (log_p.exp() * (log_p - log_start)).sum(-1)
    return found


@torch.no_grad()
def parameter_distance(model: nn.Module, start: nn.Module) -> float:
    """Return ``|theta - theta*|_2`` over all parameters, in fp64.

    Args:
        model: The model.
        start: The model that it started from.

    Raises:
        MismatchError: They have other parameters.

    >>> one, two = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> _ = two.load_state_dict({name: value + 1 for name, value in one.state_dict().items()})
    >>> round(parameter_distance(two, one), 4)  # sqrt(3)
    1.7321
    """
    own, there = dict(model.named_parameters()), dict(start.named_parameters())
    shapes, others_shapes = ({name: value.shape for name, value in found.items()} for found in (own, there))
    others = [name for name in own.keys() | there.keys() if shapes.get(name) != others_shapes.get(name)]
    if others:
        raise MismatchError(
            f"`start` must have the parameters of `model`. Found {len(others)} that are missing in one or of another "
            f"shape, such as {min(others)!r}. Load the model that the run started from; merge adapters first."
        )
    squares = [_square(own[name], there[name]) for name in own]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def _square(one: Any, other: Any) -> Tensor:
    whole, there = (value.full_tensor() if hasattr(value, "full_tensor") else value for value in (one, other))
    found: Tensor = (whole.double() - there.to(whole.device).double()).square().sum().cpu()
    return found
