"""How two objectives' gradients become one update: the two base kinds and what a round reports.

Edge cases are decided here once: a vanishing gradient counts as zero, both vanishing or a combined
direction that is rounding noise skips the step, a non-finite gradient skips and is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unlearnkit.batches import ForgetRetainBatch, Side
from unlearnkit.errors import NonFiniteError
from unlearnkit.gradients import Gram, Weights, combine_, gram_matrix, squared_norm
from unlearnkit.host import Host
from unlearnkit.sharding import local_part, scale_

Losses = dict[Side, Tensor]
"""The round's losses by side, 0-d detached tensors (both are minimised)."""


@dataclass(frozen=True)
class RoundReport:
    """What one round did.

    Attributes:
        losses: Loss of each side that was evaluated, before the step; 0-d tensors.
        gram: Gram matrix of the two gradients, where both were formed.
        weights: Factors the two sides were combined with.
        skipped: Why no step was taken, or None.
    """

    losses: Losses
    gram: Gram | None = None
    weights: Weights | None = None
    skipped: str | None = None


class Strategy(nn.Module):
    """Turn two objectives into one update a round.

    Attributes:
        sides: The sides whose loss the strategy evaluates; a one-sided one leaves the other alone.
        normalized: Whether the direction's length is bounded whatever the gradients' lengths are.
        by_side: Whether each side's gradient is formed by itself, so that it can be clipped by itself.
    """

    sides: ClassVar[tuple[Side, ...]] = ("retain", "forget")
    normalized: ClassVar[bool] = False
    by_side: ClassVar[bool] = True

    def step(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Make one round: evaluate, combine, move, count.

        Args:
            host: Offers losses, gradients and the optimizer step.
            batch: One batch, or a list of micro-batches, for each side.

        Returns:
            Losses, Gram matrix and weights of the round.
        """
        report = self.update(host, batch)
        host.round += 1
        return report

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Do the round's work; what each kind of strategy implements."""
        raise NotImplementedError


class LossStrategy(Strategy):
    """Weights that need losses at most: ONE backward pass of the weighted sum.

    With micro-batches it is one backward pass for each of them, and one gradient copy, because the weights
    are known only after the last one.
    """

    by_side = False

    def weights(self, losses: Losses) -> Weights:
        """Return the factors of the two losses, computed from their detached values."""
        raise NotImplementedError

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Backpropagate the weighted sum of the two losses once and step."""
        in_parts = any(isinstance(batch[side], (list, tuple)) for side in self.sides)
        detached, weights, gradients = (self._by_side if in_parts else self._at_once)(host, batch)
        skipped = verdict(host, detached, [squared_norm(gradients)])
        if skipped is None:
            host.apply(gradients)
        return RoundReport(detached, weights=weights, skipped=skipped)

    def _at_once(self, host: Host, batch: ForgetRetainBatch) -> tuple[Losses, Weights, list[Tensor]]:
        losses = {side: host.loss(side, batch) for side in self.sides}
        detached: Losses = {side: loss.detach() for side, loss in losses.items()}
        weights = self.weights(detached)
        factors: dict[Side, Tensor] = {"retain": weights.retain, "forget": weights.forget}
        total = torch.stack([factors[side].to(loss.dtype) * loss for side, loss in losses.items()]).sum()
        return detached, weights, host.backward(total)

    def _by_side(self, host: Host, batch: ForgetRetainBatch) -> tuple[Losses, Weights, list[Tensor]]:
        found = {side: host.gradients(side, batch) for side in self.sides}
        detached: Losses = {side: loss for side, (loss, _) in found.items()}
        weights = self.weights(detached)
        factors: dict[Side, Tensor] = {"retain": weights.retain, "forget": weights.forget}
        for side, (_, gradient) in found.items():
            scale_(gradient, factors[side])
        first, *others = (gradient for _, gradient in found.values())
        for other in others:
            for into, part in zip(first, other, strict=True):
                local_part(into).add_(local_part(part))
        return detached, weights, first


class GramStrategy(Strategy):
    """Weights in closed form from the 2x2 Gram matrix: two backward passes, one gradient copy."""

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return the factors of the two gradients."""
        raise NotImplementedError

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Form both gradients, weigh them by their Gram matrix, combine in place and step."""
        loss_r, g_r = host.gradients("retain", batch)
        loss_f, g_f = host.gradients("forget", batch)
        losses: Losses = {"retain": loss_r, "forget": loss_f}
        gram = gram_matrix(g_r, g_f)
        weights = without_vanished(self.weights(gram, losses), gram)
        orthogonal = (weights.retain**2 * gram.rr + weights.forget**2 * gram.ff).sqrt()
        skipped = verdict(host, losses, [gram.rr, gram.ff], [gram.norm(weights), orthogonal])
        if skipped is None:
            host.observe({"retain": g_r, "forget": g_f})
            host.apply(combine_(g_r, g_f, weights))
        return RoundReport(losses, gram, weights, skipped)


NON_FINITE = "non-finite gradient"
"""Why a step was skipped whose gradient was infinite or NaN while the losses were finite."""

VANISHED = 1e-12
"""A gradient this much shorter than the other one is rounding noise: its unit vector means nothing."""

CANCELLED = 4e-3
"""A direction this much shorter than its two terms is what rounding left of exact cancellation.

For unit gradients this is a cosine within 1.6e-5 of -1. The inner products of exactly opposite
gradients leave up to 2e-6 (fp32) and 1.4e-5 (bf16) of it, because blocks are summed in fp32.
"""


def without_vanished(weights: Weights, gram: Gram) -> Weights:
    """Give weight zero to a gradient that vanished beside the other (``1/|g|`` would make noise of it)."""
    longest = torch.maximum(gram.rr, gram.ff)
    zero = torch.zeros_like(gram.rr)
    return Weights(
        retain=torch.where(gram.rr > VANISHED**2 * longest, weights.retain, zero),
        forget=torch.where(gram.ff > VANISHED**2 * longest, weights.forget, zero),
    )


def verdict(
    host: Host, losses: Losses, squared: list[Tensor], lengths: list[Tensor] | None = None
) -> str | None:
    """Read the round's scalars in its one host synchronisation, and say why no step may be taken.

    Adam would blow a direction that is pure rounding noise up to full-size steps, so exact
    cancellation is a skip and not a tiny step.

    Args:
        host: Knows the round and the last good checkpoint.
        losses: The round's losses.
        squared: Squared gradient norms.
        lengths: ``|d|`` and the length it would have, were the two gradients orthogonal.

    Returns:
        None to take the step, else the reason for skipping it.

    Raises:
        NonFiniteError: A loss is NaN or infinite; the message names side, round and last checkpoint.
    """
    scalars = [*losses.values(), *squared, *(lengths or [])]
    found = torch.stack([value.detach().double() for value in scalars]).tolist()
    for side, value in zip(losses, found, strict=False):
        require_finite(value, side, host)
    norms = found[len(losses) :]
    if not all(math.isfinite(value) for value in norms):
        host.lower_loss_scale()
        return NON_FINITE
    if not any(norms[: len(squared)]):
        return "the gradients vanish"
    if lengths is not None and norms[-2] <= CANCELLED * norms[-1]:
        return "the gradients cancel"
    return None


def require_finite(value: float, side: Side, host: Host) -> None:
    """Raise where a loss is NaN or infinite.

    Raises:
        NonFiniteError: It is.
    """
    if math.isfinite(value):
        return
    kept = f"The last good checkpoint is kept: {host.last_good}. " if host.last_good else ""
    raise NonFiniteError(
        f"The {side} loss must stay finite. Found {value} in round {host.round}. {kept}"
        "Lower the learning rate, clip the gradients (`clip=1.0`), or stop earlier (`max_steps`)."
    )
