"""How two objectives' gradients become one update: the two base kinds and what a round reports.

Edge cases are decided here once, for every strategy:

- A vanishing gradient gets weight zero. The other one gets the weight it would have beside an equal one, so
  that no strategy divides by nothing, and none stops training one side because the other is held or empty.
- Both vanishing, or a combined direction that is rounding noise, skips the step.
- Exactly opposite gradients leave nothing that lowers both losses: the step is skipped too, unless it
  lowers the retain loss.
- A non-finite gradient skips the step and is counted.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from unlearnkit.batches import ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError, NonFiniteError
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
        kind: What the weights are made of, for the table of strategies.
        passes: Backward passes of a round, for the table.
        memory: What a round holds beside two plain passes that accumulate, for the table.
        state: What is carried from round to round and saved, for the table.
        round: Number of the round under way; the key of every random draw.
    """

    sides: ClassVar[tuple[Side, ...]] = ("retain", "forget")
    normalized: ClassVar[bool] = False
    by_side: ClassVar[bool] = True
    kind: ClassVar[str] = "alternating"
    passes: ClassVar[str] = "1 a step"
    memory: ClassVar[str] = "none"
    state: ClassVar[str] = "none"
    round: int = 0

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the state with the module, and keep its type: a trainer of half precision would round it away."""
        super()._apply(lambda state: state.to(fn(torch.empty_like(state)).device), recurse)  # type: ignore[no-untyped-call]
        return self

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

    def turns(self, round: int, pass_rounds: dict[Side, int]) -> dict[Side, int] | None:
        """Return how many batches of each side a strategy that makes whole passes stepped on before a round.

        A data module deals out passes by it. Default None: rounds are drawn one like the other.

        Args:
            round: Number of the round, from 0.
            pass_rounds: Rounds in which each side's rows come once.
        """
        return None

    def remember(self, model: nn.Module) -> None:
        """Look at the target before the first round and before any restore; default nothing."""

    def bind(self, datamodule: Any) -> None:
        """Look at the data module after its setup; default nothing."""

    def begin_epoch(self, host: Host, candidates: Iterable[Any]) -> None:
        """Do what is due before an epoch's first round; default nothing.

        Args:
            host: Offers model, objectives and parameters.
            candidates: Batches of all forget samples, in the same order on every rank and each time.
        """

    @property
    def finished(self) -> bool:
        """Whether the run shall end with this epoch."""
        return False

    @property
    def readings(self) -> dict[str, float]:
        """What there is to log at the start of an epoch."""
        return {}

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Do the round's work; what each kind of strategy implements."""
        raise NotImplementedError


class LossStrategy(Strategy):
    """Weights that need losses at most: ONE backward pass of the weighted sum.

    With micro-batches it is one backward pass for each of them, and one gradient copy, because the weights
    are known only after the last one.
    """

    by_side = False
    kind = "loss"
    passes = "1"

    def weights(self, losses: Losses) -> Weights:
        """Return the factors of the two losses, computed from their detached values."""
        raise NotImplementedError

    def learn(self, losses: Losses) -> None:
        """Carry what later rounds need into buffers, once the round's step is decided on; default nothing."""

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Backpropagate the weighted sum of the two losses once and step."""
        self.round = host.round
        in_parts = any(isinstance(batch[side], (list, tuple)) for side in self.sides)
        detached, weights, gradients = (self._by_side if in_parts else self._at_once)(host, batch)
        skipped = verdict(host, detached, [squared_norm(gradients)])
        if skipped is None:
            self.learn(detached)
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
    """Weights in closed form from the 2x2 Gram matrix: two backward passes, one gradient copy.

    Attributes:
        watched: Pattern of the parameters whose Gram matrix ``learn`` is given, or ``last``; None for all of them.
    """

    kind = "gram"
    passes = "2"
    memory = "1 gradient"
    watched: str | None = None

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return the factors of the two gradients."""
        raise NotImplementedError

    def learn(self, gram: Gram, losses: Losses) -> None:
        """Carry what later rounds need into buffers, once the round's step is decided on; default nothing."""

    def combine(self, retain: list[Tensor], forget: list[Tensor], weights: Weights) -> list[Tensor]:
        """Return the direction, in the memory of ``forget``."""
        return combine_(retain, forget, weights)

    def weigh(self, gram: Gram, losses: Losses) -> Weights:
        """Return the weights, of which a vanished gradient's is zero."""
        return without_vanished(self.weights(with_stand_in(gram), losses), gram)

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Form both gradients, weigh them by their Gram matrix, combine in place and step."""
        self.round = host.round
        loss_r, g_r = host.gradients("retain", batch)
        loss_f, g_f = host.gradients("forget", batch)
        losses: Losses = {"retain": loss_r, "forget": loss_f}
        gram = gram_matrix(g_r, g_f)
        weights = self.weigh(gram, losses)
        skipped = verdict(host, losses, [gram.rr, gram.ff], lengths(gram, weights))
        if skipped is None:
            host.observe({"retain": g_r, "forget": g_f})
            seen = gram if self.watched is None else watched_gram(host.names, self.watched, g_r, g_f)
            self.learn(seen, losses)
            host.apply(self.combine(g_r, g_f, weights))
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


def seed_of(*key: int) -> int:
    """Return a seed below 2**63 made of several numbers, e.g. (seed, round), the same on every rank.

    >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
    (True, False)
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def watched_gram(names: list[str], pattern: str, retain: list[Tensor], forget: list[Tensor]) -> Gram:
    """Return the Gram matrix over the parameters in whose name the pattern is found, or over the last layer's.

    Raises:
        ConfigurationError: It is found in none.
    """
    found = last_layer(names) if pattern == "last" else pattern
    chosen = [i for i, name in enumerate(names) if re.search(found, name)]
    if not chosen:
        raise ConfigurationError(
            f"`layer` must be a pattern found in the name of a parameter that is trained. Found {pattern!r}. "
            f"The last ones are called {', '.join(names[-4:])}."
        )
    return gram_matrix([retain[i] for i in chosen], [forget[i] for i in chosen])


def last_layer(names: list[str]) -> str:
    r"""Return the pattern of the last numbered block among the names, or of the last module where none is numbered.

    >>> last_layer(["embed.weight", "layers.0.up.weight", "layers.1.up.weight", "layers.1.norm.weight", "norm.weight"])
    '^layers\\.1\\.'
    """
    for name in reversed(names):
        block = re.match(r"(?:.*?\.)??\d+\.", name)
        if block:
            return "^" + re.escape(block[0])
    return "^" + re.escape(names[-1].rpartition(".")[0])


def vanished(gram: Gram) -> tuple[Tensor, Tensor]:
    """Say of the retain and of the forget gradient whether it vanished beside the other; 0-d booleans."""
    least = VANISHED**2 * torch.maximum(gram.rr, gram.ff)
    return gram.rr <= least, gram.ff <= least


def with_stand_in(gram: Gram) -> Gram:
    """Let a gradient that vanished be equal to the other one, so that weights are finite and the other's not 0."""
    no_retain, no_forget = vanished(gram)
    return Gram(
        rr=torch.where(no_retain, gram.ff, gram.rr),
        ff=torch.where(no_forget, gram.rr, gram.ff),
        rf=torch.where(no_retain, gram.ff, torch.where(no_forget, gram.rr, gram.rf)),
    )


def lengths(gram: Gram, weights: Weights) -> list[Tensor]:
    """Return ``|d|``, and the length it would have, were the two gradients orthogonal.

    For exactly opposite gradients a direction along which the retain loss rises counts as nothing: only
    an equation that does not balance the two sides (CAGrad, fixed or learned weights) arrives at one.
    """
    opposite = gram.cosine <= CANCELLED**2 - 1
    harmful = opposite & (gram.retain_effect(weights) < 0)
    orthogonal = (weights.retain**2 * gram.rr + weights.forget**2 * gram.ff).sqrt()
    return [torch.where(harmful, 0.0, gram.norm(weights)), orthogonal]


def without_vanished(weights: Weights, gram: Gram) -> Weights:
    """Give weight zero to a gradient that vanished beside the other (``1/|g|`` would make noise of it)."""
    no_retain, no_forget = vanished(gram)
    return Weights(
        retain=torch.where(no_retain, 0.0, weights.retain), forget=torch.where(no_forget, 0.0, weights.forget)
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
        lengths: What the function ``lengths`` returns.

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
