"""One side's loss: per-sample sums and counts, weighed where samples have weights, over micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from unlearnkit.batches import ForgetRetainBatch, Side, micro_batches
from unlearnkit.errors import ConfigurationError
from unlearnkit.sharding import scale_

VANISHED = 1e-30
"""Weighted count at or below which a batch counts as having none: in fp32 its quotient would be 0 / 0."""


class SampleWeights(Protocol):
    """What a host asks of weights that follow samples by their index."""

    def of(self, index: Tensor) -> Tensor:
        """Return the weight of each sample [batch], 0 or above, on the index's device.

        Args:
            index: Row of each sample in its data set, [batch], int64.
        """
        ...


def objective_loss(
    objective: Callable[..., Any],
    model: nn.Module,
    batch: ForgetRetainBatch,
    side: Side,
    reference: Callable[[], nn.Module] | None,
    rank_sum: Callable[[Tensor], Tensor],
    world: int = 1,
    weights: SampleWeights | None = None,
) -> Tensor:
    """Return ``sum(w sums) / sum(w counts)`` over all micro-batches and ranks, plus the penalty, once.

    The value is the global mean. The gradient is the local part times ``world``, so that the mean
    over ranks that DDP and FSDP take is the gradient of the global mean, also for unequal batches.
    """
    # First, while sharded parameters are shards: after a forward pass the root's are gathered copies.
    penalty = _penalty(objective, model, reference)
    sums, counts = [], []
    for micro in micro_batches(batch, side):
        own_sums, own_counts = _per_sample(objective, model, micro, reference, weights)
        sums.append(own_sums.sum())
        counts.append(own_counts.double().sum())
    total, count = (torch.stack(parts).sum() if len(parts) > 1 else parts[0] for parts in (sums, counts))
    everywhere = rank_sum(torch.stack([total.detach().double(), count]))
    # All masked on every rank: the loss is zero, still attached, so that each rank's backward runs.
    whole = torch.where(everywhere[1] > VANISHED, everywhere[1], 1.0).to(total.dtype)
    loss = total / whole
    if world > 1:
        loss = loss * world
        # The difference is exactly 0: every rank has the same bits, or weights made of losses drift apart.
        loss = loss - loss.detach() + (everywhere[0] / whole).to(total.dtype)
    return loss if penalty is None else loss + penalty


def accumulated_gradients(
    objective: Callable[..., Any],
    model: nn.Module,
    batch: ForgetRetainBatch,
    side: Side,
    reference: Callable[[], nn.Module] | None,
    rank_sum: Callable[[Tensor], Tensor],
    accumulate: Callable[[Tensor], None],
    backward: Callable[[Tensor], list[Tensor]],
    world: int = 1,
    weights: SampleWeights | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Return one side's detached loss and its gradients, with one micro-batch's graph in memory at a time.

    The sums are divided at the end by the count over all micro-batches and ranks, because a mean of means
    weighs a short micro-batch like a long one. Until then they are divided by an estimate of it, the same
    on all ranks, so that fp16 gradients have the size they have in one batch.

    Args:
        objective: The side's objective.
        model: The model.
        batch: A list of micro-batches for this side, on every rank (their number may differ under DDP, not
            under FSDP2, where each forward pass is an exchange between ranks).
        side: Whose gradients.
        reference: Returns the frozen reference model.
        rank_sum: Sums a tensor over all ranks.
        accumulate: Backpropagates into ``p.grad`` of this rank alone.
        backward: Backpropagates, reduces what has accumulated over ranks (their mean), and takes it.
        world: Number of ranks.
        weights: Weight of each sample; None is 1.
    """
    penalty = _penalty(objective, model, reference)
    micros = micro_batches(batch, side)
    totals: list[Tensor] = []
    estimate = torch.ones(())
    for position, micro in enumerate(micros):
        sums, counts = _per_sample(objective, model, micro, reference, weights)
        totals.append(torch.stack([sums.detach().double().sum(), counts.double().sum()]))
        if position == 0:
            estimate = rank_sum(totals[0][1] * len(micros)).clamp_min(1.0) / world
        total = sums.sum() / estimate.to(sums.dtype)
        if position < len(micros) - 1:
            accumulate(total)
    everywhere = rank_sum(torch.stack(totals).sum(0))
    whole = torch.where(everywhere[1] > VANISHED, everywhere[1], 1.0)
    value = everywhere[0] / whole
    if penalty is not None:
        total = total + penalty * (whole / world / estimate).to(total.dtype)
        value = value + penalty.detach()
    gradients = backward(total)
    scale_(gradients, world * estimate / whole)
    return value.to(total.dtype), gradients


def _per_sample(
    objective: Callable[..., Any],
    model: nn.Module,
    batch: Any,
    reference: Callable[[], nn.Module] | None,
    weights: SampleWeights | None,
) -> tuple[Tensor, Tensor]:
    """Return an objective's sums and counts, both [batch], times the samples' weights."""
    found = objective(model, batch, reference)
    if weights is None:
        return found.sums, found.counts
    if "index" not in batch:
        raise ConfigurationError(
            "`batch` must hold the `index` of each sample where samples have weights, which follow it. Found "
            f"{sorted(batch)}. Use a data module of unlearnkit, or add the samples' row numbers."
        )
    factors = weights.of(batch["index"])
    return found.sums * factors.to(found.sums.dtype), found.counts * factors


def _penalty(
    objective: Callable[..., Any], model: nn.Module, reference: Callable[[], nn.Module] | None
) -> Tensor | None:
    """Return an objective's penalty as a whole 0-d tensor; of shards, its gradient reaches each of them once."""
    found = objective.penalty(model, reference) if hasattr(objective, "penalty") else None
    return found.full_tensor() if isinstance(found, DTensor) else found
