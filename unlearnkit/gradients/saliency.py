"""Scores that say which weights matter to what is forgotten, in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from unlearnkit.batches import Side
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.gradients.gram import HALF
from unlearnkit.gradients.mask import ratio_mask, top_fraction
from unlearnkit.host import eval_mode, take_gradients
from unlearnkit.sharding import local_part, reshard, sharded_modules

Score = Literal["salun", "salun_difference", "fisher_ratio"]
"""How weights are scored."""


def mean_gradients(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    squared: bool = False,
    rank_sum: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Return the mean over batches of each batch's gradient, or of its square, in eval mode.

    A batch's gradient is that of its mean negative log-likelihood, as in the published code; the square of it is not
    the mean of its samples' squares, so that a Fisher diagonal made of it hangs on the size of batches.

    Args:
        model: Offers ``losses(batch) -> [B]`` and ``counts(batch) -> [B]``.
        batches: Where parameters are sharded (FSDP2), all of them on every rank; else all, or this rank's share.
        squared: Whether gradients are squared first.
        rank_sum: Sums a tensor over ranks that have shares; None where every rank has all batches.

    Returns:
        One whole tensor per trainable parameter, in the CPU's memory, in its shape, fp32 or wider.

    Raises:
        ConfigurationError: There is no batch.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> [tuple(mean.shape) for mean in mean_gradients(ToyClassifier(), [toy_batch(4), toy_batch(3, seed=1)])]
    [(3, 5), (3,)]
    """
    sharded = sharded_modules(model)
    reshard(sharded)
    parameters = [p for p in model.parameters() if p.requires_grad]
    totals = [torch.zeros_like(p, dtype=torch.float32 if p.dtype in HALF else p.dtype) for p in parameters]
    count = torch.zeros((), dtype=torch.float64, device=local_part(parameters[0]).device)
    with eval_mode(model), torch.enable_grad():
        for batch in batches:
            found = _gradient(model, parameters, batch, bool(sharded))
            for total, gradient in zip(totals, found, strict=True):
                part = local_part(gradient).to(total.dtype)
                local_part(total).add_(part.square() if squared else part)
            count += 1
    if rank_sum is not None:
        totals, count = [rank_sum(total) for total in totals], rank_sum(count)
    if not count:
        raise ConfigurationError(
            "`batches` must hold at least one batch to score weights on. Found none. Check the side's data."
        )
    return [_whole(total.detach()).cpu().div_(float(count)) for total in totals]


def _gradient(model: Any, parameters: list[nn.Parameter], batch: Any, sharded: bool) -> list[Tensor]:
    """Return the gradients of a batch's mean negative log-likelihood; zeros where it does not hang on a parameter."""
    loss = model.losses(batch).sum() / model.counts(batch).sum().clamp_min(1)
    if sharded:
        # Shards get theirs from hooks of a backward pass: the mean over ranks, all of which have this batch.
        loss.backward()
        return take_gradients(parameters)
    # Not `backward`: the hooks of DDP, which is to know nothing of this, sit where gradients are accumulated.
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _whole(tensor: Any) -> Tensor:
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


def saliency_mask(
    model: nn.Module,
    batches: Callable[[Side], Iterable[Any]],
    score: Score = "salun",
    *,
    keep: float = 0.5,
    gamma: float = 1.0,
    rank_sum: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Return which weights matter to what is forgotten, one whole bool tensor per trainable parameter.

    ``salun``: the ``keep`` fraction of all weights with the largest ``|mean g_f|`` over batches, whose order is that of
    the sum that is published (SalUn, Fan et al. 2024).
    ``salun_difference``: with the largest ``|mean g_f| - |mean g_r|``, as DualOptim's code has it under SalUn's name.
    ``fisher_ratio``: where ``mean g_f^2 / mean g_r^2 >= gamma`` (SFRon, Huang et al. 2024).

    Args:
        model: As for ``mean_gradients``.
        batches: Gives the batches of a side, as for ``mean_gradients``.
        score: One of the three.
        keep: Fraction that the first two keep.
        gamma: Smallest ratio that the third keeps.
        rank_sum: As for ``mean_gradients``.

    Raises:
        UnknownNameError: ``score`` is none of the three.
        ConfigurationError: A number is out of its range, or a side has no batch.
        NonFiniteError: A gradient is NaN or infinite.
    """
    if score not in get_args(Score):
        raise UnknownNameError.among("score", str(score), get_args(Score))

    def mean(side: Side) -> list[Tensor]:
        return mean_gradients(model, batches(side), squared=score == "fisher_ratio", rank_sum=rank_sum)

    forget = mean("forget")
    if score == "fisher_ratio":
        return ratio_mask(forget, mean("retain"), gamma)
    scores = [gradient.abs() for gradient in forget]
    if score == "salun_difference":
        scores = [a - gradient.abs() for a, gradient in zip(scores, mean("retain"), strict=True)]
    return top_fraction(scores, keep)
