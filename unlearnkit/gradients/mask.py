"""Masks on weights: which of them may move, and how the others are kept from moving."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from unlearnkit.batches import Side
from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError
from unlearnkit.sharding import first_element, local_part

SMALL = 1e-15
"""Added to both sides of a ratio, as the authors of SFRon do: a weight that moves no loss is kept."""


class Mask:
    """Let some weights move and no others, on every step (hard) or along the forget gradient alone (soft).

    A hard mask freezes weights: they have the same bits after any number of steps, weight decay and momentum
    included, and the optimizer's states of their shape are zero there. To mask the gradient is not enough for that,
    because decay and momentum go on moving what was masked (SalUn's repository, issue 32). A soft mask does just
    that, and only to the forget gradient, as SFRon's repair steps move all weights.

    It is held as integers of the weights' width, one copy of the parameters that are masked in part, because bits can
    be cut out in a tenth of the time that a bool takes to select them on a CPU.

    Args:
        kept: For each parameter where it may move, whole (not cut as sharded parameters are), bool.
        parameters: The parameters, in the same order; under FSDP2 the shards.
        hard: Whether the other weights are frozen, whoever's step it is.

    Raises:
        MismatchError: Masks and parameters differ in number or shape.

    >>> weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> sgd = torch.optim.SGD([weight], lr=0.5, weight_decay=0.1, momentum=0.9)
    >>> mask, gradient = Mask([torch.tensor([True, False])], [weight]), torch.tensor([1.0, 1.0])
    >>> mask.project_([gradient])
    >>> weight.grad = gradient
    >>> with mask.still([weight], sgd):
    ...     sgd.step()
    >>> weight.tolist(), sgd.state[weight]["momentum_buffer"][1].item()
    ([0.44999998807907104, 2.0], 0.0)
    """

    def __init__(self, kept: list[Tensor], parameters: list[nn.Parameter], hard: bool = True) -> None:
        shapes = [tuple(one.shape) for one in kept], [tuple(p.shape) for p in parameters]
        if shapes[0] != shapes[1]:
            raise MismatchError(
                f"`kept` must have the shapes of the parameters that are trained. Found {len(kept)} masks for "
                f"{len(parameters)} parameters, {_first_difference(*shapes)}. Make the mask of this model."
            )
        self.hard = hard
        self.fraction = sum(int(one.sum()) for one in kept) / sum(one.numel() for one in kept)
        # None where nothing is masked out, so that whole layers cost nothing.
        self._kept = [
            None if bool(one.all()) else _bits_of(_own_part(one, p), p)
            for one, p in zip(kept, parameters, strict=True)
        ]

    @torch.no_grad()
    def project_(self, gradients: list[Tensor], side: Side | None = None) -> None:
        """Set gradients to zero where weights may not move, in place; nothing where the mask is soft and not forget's.

        Args:
            gradients: One tensor per parameter, sharded or whole.
            side: Whose they are; None is both sides'.
        """
        if not self.hard and side != "forget":
            return
        for gradient, kept in zip(gradients, self._kept, strict=True):
            if kept is not None:
                _cut_(local_part(gradient), kept)

    @contextmanager
    def still(self, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Keep frozen weights and their states through the steps within the block; nothing with a soft mask.

        Takes one copy of the parameters that are frozen in part.

        Raises:
            ConfigurationError: The optimizer keeps its states in 8 bits, of whose blocks no part can be zeroed.
        """
        if not self.hard:
            yield
            return
        require_wide_states(optimizer)
        masked = [(p, kept) for p, kept in zip(parameters, self._kept, strict=True) if kept is not None]
        before = [local_part(p.detach()).clone() for p, _ in masked]
        try:
            yield
        finally:
            for (parameter, kept), saved in zip(masked, before, strict=True):
                now, old = (part.view(kept.dtype) for part in (local_part(parameter.detach()), saved))
                # The new bits where they are kept, the old ones elsewhere.
                now.bitwise_xor_(old).bitwise_and_(kept).bitwise_xor_(old)
        for parameter, kept in masked:
            _clear(optimizer, parameter, kept)


def _bits_of(mask: Tensor, parameter: Tensor) -> Tensor:
    """Return integers as wide as a parameter's elements, all bits 1 where a mask is true."""
    wide = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[parameter.element_size()]
    return mask.to(wide).neg_()


def _cut_(values: Tensor, kept: Tensor) -> None:
    """Set values to zero where they are not kept, in place.

    Not a product: an infinite gradient must not make NaN of a weight that stands still.
    """
    if values.element_size() == kept.element_size():
        values.view(kept.dtype).bitwise_and_(kept)
    else:  # states in another type than the parameter's
        values.masked_fill_(kept == 0, 0.0)


@torch.no_grad()
def _clear(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, kept: Tensor) -> None:
    """Set an optimizer's states to zero where a parameter is frozen: momentum would carry the weight on later."""
    for value in optimizer.state.get(parameter, {}).values():
        # Of a parameter without dimensions counters have the shape, too.
        if not isinstance(value, Tensor) or value.shape != parameter.shape or value.dim() == 0:
            continue
        packed = not value.is_floating_point() or (
            hasattr(value, "__tensor_flatten__") and not isinstance(value, DTensor)
        )
        if packed:
            raise _narrow(optimizer)
        _cut_(local_part(value), kept)


def require_wide_states(optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer that says that it keeps states in 8 bits.

    Raises:
        ConfigurationError: It does.

    >>> require_wide_states(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1))
    """
    if getattr(optimizer, "quantize", None) is not None:
        raise _narrow(optimizer)


def _narrow(optimizer: torch.optim.Optimizer) -> ConfigurationError:
    return ConfigurationError(
        f"`optimizer` {type(optimizer).__name__} must not keep states in 8 bits beside a hard mask, which sets them "
        "to zero weight by weight. Found such states. Use state_bits=32, or hard=False."
    )


def top_fraction(scores: list[Tensor], keep: float) -> list[Tensor]:
    """Return where scores are among the largest of all parameters together, bool, in the scores' shapes.

    Of n weights ``int(n * keep)`` are kept, one at least; among equal scores those that come first.

    Args:
        scores: One tensor per parameter, whole: of shards the largest of all are not known.
        keep: Fraction to keep, in (0, 1].

    Raises:
        ConfigurationError: ``keep`` is out of its range, or scores are sharded.
        NonFiniteError: A score is NaN or infinite.

    >>> [one.tolist() for one in top_fraction([torch.tensor([5.0, 1.0]), torch.tensor([[3.0, 4.0]])], 0.5)]
    [[True, False], [[False, True]]]
    """
    if not 0.0 < keep <= 1.0:
        raise ConfigurationError(
            f"`keep` must lie in (0, 1], a fraction of all weights. Found {keep}. Use e.g. keep=0.5."
        )
    _require_ranked(scores)
    every = torch.cat([score.reshape(-1) for score in scores])
    number = max(1, int(len(every) * keep))
    least = every.topk(number, sorted=False).values.min()
    above, ties = every > least, every == least
    chosen = above | (ties & (ties.cumsum(0) <= number - above.sum()))
    parts = torch.split(chosen, [score.numel() for score in scores])
    return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]


def ratio_mask(numerator: list[Tensor], denominator: list[Tensor], gamma: float) -> list[Tensor]:
    """Return where ``(a + 1e-15) / (b + 1e-15) >= gamma``, bool, in the shapes given (SFRon's mask).

    Args:
        numerator: One tensor per parameter, not negative: the forget side's Fisher information.
        denominator: The same shapes in the same order: the retain side's.
        gamma: Smallest ratio that is kept, above 0.

    Raises:
        ConfigurationError: ``gamma`` is not above 0.
        NonFiniteError: A number is NaN or infinite.

    >>> ratio_mask([torch.tensor([2.0, 1.0, 0.0])], [torch.tensor([1.0, 2.0, 0.0])], gamma=1.0)[0].tolist()
    [True, False, True]
    """
    if not 0.0 < gamma < math.inf:
        raise ConfigurationError(
            f"`gamma` must be above 0, the smallest ratio that is kept. Found {gamma}. Use e.g. gamma=1.0."
        )
    _require_ranked(numerator + denominator)
    return [(a + SMALL) / (b + SMALL) >= gamma for a, b in zip(numerator, denominator, strict=True)]


def _require_ranked(scores: list[Tensor]) -> None:
    """Refuse scores that cannot be ordered over all parameters."""
    if any(isinstance(score, DTensor) for score in scores):
        raise ConfigurationError(
            "`scores` must be whole tensors, because their order over all ranks decides. Found sharded ones. "
            "Gather them first: score.full_tensor()."
        )
    broken = sum(int((~score.isfinite()).sum()) for score in scores)
    if broken:
        raise NonFiniteError(
            f"`scores` must be finite to be ordered. Found {broken} that are not. See that the model's gradients "
            "on these data are finite: a model that has diverged cannot be masked."
        )


def _own_part(whole: Tensor, parameter: Tensor) -> Tensor:
    """Return the part of a whole tensor that lies where this rank's part of a parameter does, on its device."""
    part, first = local_part(parameter), first_element(parameter)
    return whole.reshape(-1)[first : first + part.numel()].view(part.shape).to(part.device)


def _first_difference(masks: list[tuple[int, ...]], parameters: list[tuple[int, ...]]) -> str:
    for place, (one, other) in enumerate(zip(masks, parameters, strict=False)):
        if one != other:
            return f"the one at place {place} of shape {one} for one of {other}"
    return "of the same shapes as far as both go"
