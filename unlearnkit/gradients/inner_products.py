"""Inner products of n per-sample gradients with one direction, without forming any of the n gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.gradients.gram import HALF
from unlearnkit.gradients.probe import Displacement
from unlearnkit.host import eval_mode
from unlearnkit.sharding import sharded_modules

Method = Literal["difference", "jvp"]
"""Two passes without gradients at both ends of a short line, or one pass in forward mode."""

SampleLosses = Callable[[Any], Tensor]
"""Returns the loss of each sample of a batch, [batch]."""

SHORTER = 15
"""How much shorter the step is than the textbook's cube root of the precision.

That rule takes the loss to curve on the scale of theta. Of trained networks it curves far sooner: on the toy world's
targets its step was off by 21 to 50 per cent and turned signs of gains, this one by at most 1.
"""


def inner_products(
    losses: SampleLosses,
    model: nn.Module,
    batches: Iterable[Any],
    direction: list[Tensor],
    method: Method = "difference",
    step: float | None = None,
) -> Tensor:
    """Return ``grad l_i . v`` of every sample, in eval mode without autocast; the model stays as it was, bit for bit.

    ``difference`` evaluates ``(l_i(theta + h v) - l_i(theta - h v)) / 2h``: two passes without gradients over all
    batches, which any model can make, and no memory that grows with their number but the answer's. It differentiates
    the loss as it is evaluated, parts that an objective detaches from the graph included; ``jvp`` differentiates what
    a backward pass would.

    Args:
        losses: Per-sample losses at the model's present parameters.
        model: The model; its trainable parameters are moved and put back.
        batches: Goes over the same batches in the same order each time.
        direction: v, one tensor per trainable parameter.
        method: ``difference`` or ``jvp``.
        step: ``h |v| / |theta|``; None takes a fifteenth of the cube root of the parameters' precision, 3e-4 in fp32.

    Returns:
        [samples], float64, on the CPU.

    Raises:
        ConfigurationError: Parameters in half precision or sharded ones cannot be moved by so little; ``direction``
            does not fit; an operation has no forward mode.
        UnknownNameError: ``method`` is neither of the two.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 2.0]]))
    >>> rows = [torch.tensor([[1.0, 0.0], [3.0, 1.0]])]
    >>> found = inner_products(lambda x: model(x)[:, 0] ** 2 / 2, model, rows, [torch.tensor([[1.0, 1.0]])])
    >>> [round(value, 2) for value in found.tolist()]  # the gradient of (w.x)^2 / 2 is (w.x) x
    [1.0, 20.0]
    """
    if method not in get_args(Method):
        raise UnknownNameError.among("method", str(method), get_args(Method))
    parameters = [p for p in model.parameters() if p.requires_grad]
    require_direction(direction, parameters)
    device = parameters[0].device.type
    with eval_mode(model), torch.autocast(device, enabled=False):
        if method == "jvp":
            return _forward_mode(losses, model, batches, direction)
        return _difference(losses, model, batches, direction, step)


def require_direction(direction: list[Tensor], parameters: list[nn.Parameter]) -> None:
    """Refuse a direction that is not of the parameters' shapes.

    Raises:
        ConfigurationError: It is not.
    """
    own, theirs = [tuple(p.shape) for p in parameters], [tuple(part.shape) for part in direction]
    if own != theirs:
        raise ConfigurationError(
            "`direction` must hold one tensor per trainable parameter, in the model's order. Found "
            f"{len(theirs)} tensors for {len(own)} parameters, or other shapes. Take it from a gradient of the same "
            "model."
        )


def require_fine(model: nn.Module) -> None:
    """Refuse a model whose losses are too coarse for differences.

    Raises:
        ConfigurationError: A parameter is in half precision, or sharded.
    """
    coarse = {str(p.dtype).removeprefix("torch.") for p in model.parameters() if p.dtype in HALF}
    if coarse:
        raise ConfigurationError(
            "`model` must have all its parameters in fp32 or finer: a small displacement rounds away in half "
            f"precision. Found {', '.join(sorted(coarse))}. Use dtype=float32, or method='jvp'."
        )
    if sharded_modules(model):
        raise ConfigurationError(
            "`model` must be whole on every rank for inner products of per-sample gradients. Found one that FSDP2 "
            "shards. Use DDP."
        )


def step_length(parameters: list[nn.Parameter], norm: float, step: float | None = None) -> float:
    """Return h such that ``h |v| = step |theta|``.

    Args:
        parameters: theta.
        norm: ``|v|``, above 0.
        step: As for ``inner_products``.
    """
    coarsest = max(torch.finfo(p.dtype).eps for p in parameters)
    relative = coarsest ** (1 / 3) / SHORTER if step is None else step
    return relative * (length(parameters) or 1.0) / norm


@torch.no_grad()
def length(tensors: Iterable[Tensor]) -> float:
    """Return the norm of all tensors together, float64."""
    return float(torch.stack([t.detach().double().square().sum() for t in tensors]).sum().sqrt())


@torch.no_grad()
def add_(parameters: list[nn.Parameter], direction: list[Tensor], factor: float) -> None:
    """Move parameters along a direction, in place."""
    for parameter, part in zip(parameters, direction, strict=True):
        parameter.add_(part.to(parameter), alpha=factor)


@torch.no_grad()
def _difference(
    losses: SampleLosses,
    model: nn.Module,
    batches: Iterable[Any],
    direction: list[Tensor],
    step: float | None,
) -> Tensor:
    require_fine(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    norm = length(direction)
    if norm == 0.0:
        return torch.zeros(sum(len(losses(batch)) for batch in batches), dtype=torch.float64)
    h = step_length(parameters, norm, step)
    moved = Displacement(model)
    try:
        add_(parameters, direction, h)
        moved.measure()
        ahead = _all(losses, batches)
        moved.write(-1.0)
        behind = _all(losses, batches)
    finally:
        moved.write(0.0)
        moved.release()
    if len(ahead) != len(behind):
        raise ConfigurationError(
            "`batches` must hold the same samples each time one goes through them. Found "
            f"{len(ahead)} samples, then {len(behind)}. Pass a list, or something that starts anew."
        )
    return (ahead - behind) / (2.0 * h)


def _all(losses: SampleLosses, batches: Iterable[Any]) -> Tensor:
    found = [losses(batch).detach().double().cpu() for batch in batches]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


class _Losses(nn.Module):
    """Per-sample losses as a module's forward pass, so that its parameters can be exchanged for dual numbers."""

    def __init__(self, model: nn.Module, losses: SampleLosses) -> None:
        super().__init__()
        self.model = model
        self.losses = losses

    def forward(self, batch: Any) -> Tensor:
        """Return the losses, [batch]."""
        return self.losses(batch)


def _forward_mode(
    losses: SampleLosses, model: nn.Module, batches: Iterable[Any], direction: list[Tensor]
) -> Tensor:
    wrapped = _Losses(model, losses)
    named = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}
    values = {name: p.detach() for name, p in named.items()}
    tangents = {n: part.to(p) for (n, p), part in zip(values.items(), direction, strict=True)}
    found = [torch.zeros(0, dtype=torch.float64)]
    for batch in batches:

        def at(parameters: dict[str, Tensor], batch: Any = batch) -> Tensor:
            result: Tensor = torch.func.functional_call(wrapped, parameters, (batch,))
            return result

        try:
            with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward mode
                products: Tensor = torch.func.jvp(at, (values,), (tangents,))[1]
        except (NotImplementedError, RuntimeError) as error:
            known = any(word in str(error) for word in ("forward", "functorch", "jvp"))
            if not known and not isinstance(error, NotImplementedError):
                raise
            raise ConfigurationError(
                "`method='jvp'` must find a forward mode of every operation. Found one without: "
                f"{str(error).partition(chr(10))[0]} Use method='difference', or load the network with "
                "attn_implementation='eager'."
            ) from error
        found.append(products.detach().double().cpu())
    return torch.cat(found)
