"""What a strategy talks to: the ``Host`` protocol, and ``PlainHost``, the same in plain torch.

A strategy never sees Lightning. It asks its host for losses and gradients, hands back one combined
gradient, and the host moves the parameters. Notebooks use ``PlainHost``; training runs use
``unlearnkit.modules.LightningHost``; one contract suite tests both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unlearnkit.batches import ForgetRetainBatch, Side, micro_batches
from unlearnkit.errors import ConfigurationError


class Host(Protocol):
    """Everything a strategy may ask for during one round.

    Attributes:
        round: Number of the round under way, from 0; the key of every random draw.
        lr_scale: Factor on the scheduled learning rate inside ``apply`` (GeN writes here).
    """

    round: int
    lr_scale: float

    @property
    def last_good(self) -> str | None:
        """The last checkpoint, for the message when a loss diverges."""
        ...

    def loss(self, side: Side, batch: ForgetRetainBatch) -> Tensor:
        """Return one side's loss, a scalar: its value is the mean over all ranks, its gradient flows."""
        ...

    def backward(self, loss: Tensor) -> list[Tensor]:
        """Backpropagate and take the gradients, one per parameter; ``p.grad`` is left None."""
        ...

    def gradients(self, side: Side, batch: ForgetRetainBatch) -> tuple[Tensor, list[Tensor]]:
        """Return one side's detached loss and its gradients, one per parameter; ``p.grad`` is left None."""
        ...

    def apply(self, gradients: list[Tensor], side: Side | None = None) -> None:
        """Let the optimizer take one step along these gradients."""
        ...

    def observe(self, gradients: dict[Side, list[Tensor]]) -> None:
        """Look at both gradients before they are combined in place (what a host logs is its own matter)."""
        ...

    def rank_sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        ...


@contextmanager
def scaled_learning_rate(optimizer: torch.optim.Optimizer, scale: float) -> Iterator[None]:
    """Multiply every group's learning rate for the length of the block, then put it back exactly."""
    scheduled = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, scheduled, strict=True):
        group["lr"] = rate * scale
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, scheduled, strict=True):
            group["lr"] = rate


def take_gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    """Take ``p.grad`` of every parameter by reference and leave None; a missing one reads as zeros."""
    taken = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return taken


def objective_loss(
    objective: Callable[..., Any],
    model: nn.Module,
    batch: ForgetRetainBatch,
    side: Side,
    reference: Callable[[], nn.Module] | None,
    rank_sum: Callable[[Tensor], Tensor],
    world: int = 1,
) -> Tensor:
    """Return ``sum(sums) / sum(counts)`` over all micro-batches and ranks, plus the penalty, once.

    The value is the global mean. The gradient is the local part times ``world``, so that the mean
    over ranks that DDP and FSDP take is the gradient of the global mean, also for unequal batches.
    """
    sums, counts = [], []
    for micro in micro_batches(batch, side):
        per_sample = objective(model, micro, reference)
        sums.append(per_sample.sums.sum())
        counts.append(per_sample.counts.double().sum())
    total, count = (torch.stack(parts).sum() if len(parts) > 1 else parts[0] for parts in (sums, counts))
    everywhere = rank_sum(torch.stack([total.detach().double(), count]))
    # All masked on every rank: the loss is zero, still attached, so that each rank's backward runs.
    whole = torch.where(everywhere[1] > 0, everywhere[1], 1.0).to(total.dtype)
    loss = total / whole
    if world > 1:
        loss = loss * world
        loss = loss + ((everywhere[0] / whole).to(total.dtype) - loss).detach()
    penalty = objective.penalty(model) if hasattr(objective, "penalty") else None
    return loss if penalty is None else loss + penalty


class PlainHost:
    """Host a strategy in plain torch: one process, one optimizer, no trainer.

    Args:
        model: A model with ``losses(batch) -> [B]`` and ``counts(batch) -> [B]``.
        forget: Objective of the forget side (minimised), or None where the strategy needs none.
        retain: Objective of the retain side (minimised), or None where the strategy needs none.
        optimizer: Any torch optimizer over the model's parameters.
        reference: Returns the frozen reference model, for objectives that compare with it.

    >>> import torch
    >>> from unlearnkit.objectives import AscentNLL, NLL
    >>> from unlearnkit.strategies import NGDiff
    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=sgd)
    >>> report = NGDiff().step(host, batch)
    >>> bool(report.gram.retain_effect(report.weights) >= 0), host.round
    (True, 1)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        forget: Callable[..., Any] | None,
        retain: Callable[..., Any] | None,
        optimizer: torch.optim.Optimizer,
        reference: Callable[[], nn.Module] | None = None,
    ) -> None:
        self.model = model
        self.objectives: dict[Side, Callable[..., Any] | None] = {"forget": forget, "retain": retain}
        self.optimizer = optimizer
        self.reference = reference
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.round = 0
        self.lr_scale = 1.0
        self.last_good: str | None = None

    def loss(self, side: Side, batch: ForgetRetainBatch) -> Tensor:
        """Return one side's mean loss, attached to the graph."""
        objective = self.objectives[side]
        if objective is None:
            raise ConfigurationError(
                f"`{side}` must be an objective because the strategy asks for that side's loss. "
                f"Found None. Pass e.g. `{side}={'NLL()' if side == 'retain' else 'AscentNLL()'}`."
            )
        return objective_loss(objective, self.model, batch, side, self.reference, self.rank_sum)

    def backward(self, loss: Tensor) -> list[Tensor]:
        """Backpropagate and take the gradients."""
        loss.backward()  # type: ignore[no-untyped-call]
        return take_gradients(self.parameters)

    def gradients(self, side: Side, batch: ForgetRetainBatch) -> tuple[Tensor, list[Tensor]]:
        """Return one side's loss and gradients."""
        loss = self.loss(side, batch)
        return loss.detach(), self.backward(loss)

    def apply(self, gradients: list[Tensor], side: Side | None = None) -> None:
        """Step the optimizer along ``gradients`` at the scheduled rate times ``lr_scale``."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        with scaled_learning_rate(self.optimizer, self.lr_scale):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def observe(self, gradients: dict[Side, list[Tensor]]) -> None:
        """Look at nothing: the caller has the strategy's report."""

    def rank_sum(self, value: Tensor) -> Tensor:
        """Return the value itself: there is one rank."""
        return value
