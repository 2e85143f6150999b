"""What a strategy talks to: the ``Host`` protocol, and ``PlainHost``, the same in plain torch.

A strategy never sees Lightning. It asks its host for losses and gradients, hands back one combined
gradient, and the host moves the parameters. Notebooks use ``PlainHost``; training runs use
``unlearnkit.modules.LightningHost``; one contract suite tests both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from unlearnkit.batches import ForgetRetainBatch, Side, micro_batches
from unlearnkit.errors import ConfigurationError
from unlearnkit.sharding import scale_


class StepMask(Protocol):
    """What a host asks of a mask on weights; ``unlearnkit.gradients.Mask`` is one."""

    def project_(self, gradients: list[Tensor], side: Side | None = None) -> None:
        """Set gradients to zero in place where weights may not move."""
        ...

    def still(
        self, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> AbstractContextManager[None]:
        """Return a context in which steps leave weights that may not move as they are."""
        ...


class Host(Protocol):
    """Everything a strategy may ask for during one round.

    Attributes:
        round: Number of the round under way, from 0; the key of every random draw.
        lr_scale: Factor on the scheduled learning rate inside ``apply`` (GeN writes here).
        held: Sides that are held: their loss is measured still, their gradient is zero (guards write here).
        mask: Which weights may move, or None for all of them. Gradients are masked before they are clipped, weighed
            or combined, and frozen weights have their bits back when ``apply`` returns. One that masks the forget
            side alone needs a strategy that forms each side's gradient.
    """

    round: int
    lr_scale: float
    held: set[Side]
    mask: StepMask | None

    @property
    def last_good(self) -> str | None:
        """The last checkpoint, for the message when a loss diverges."""
        ...

    @property
    def pass_rounds(self) -> dict[Side, int] | None:
        """Rounds in which each side's rows come once, for strategies that make whole passes; None where unknown."""
        ...

    @property
    def names(self) -> list[str]:
        """Names of the parameters, in the order of their gradients."""
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
        """Let the optimizer take one step along these gradients; one that keeps state by side is told the side."""
        ...

    def observe(self, gradients: dict[Side, list[Tensor]]) -> None:
        """Look at both gradients before they are combined in place (what a host logs is its own matter)."""
        ...

    def rank_sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        ...

    def lower_loss_scale(self) -> None:
        """Lower fp16's loss scale after a step that overflow made impossible; nothing in other precisions."""
        ...


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Switch dropout and the like off inside the block; every submodule then gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


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


def side_argument(optimizer: torch.optim.Optimizer, side: Side | None) -> dict[str, Any]:
    """Return ``{"side": side}`` for an optimizer that keeps state by side (it says so: ``by_side = True``).

    The side is told with each step, because an optimizer that counts its own calls to know whose turn it is
    is wrong after the first step that was skipped.

    Raises:
        ConfigurationError: It keeps state by side, and the step is no side's.
    """
    if side is None and getattr(optimizer, "by_side", False):
        raise ConfigurationError(
            f"`optimizer` {type(optimizer).__name__} keeps a state for each side, so each step must be one side's. "
            "Found a strategy that steps on one side alone or on both at once. Use the strategy Alternate, or one "
            "optimizer such as AdamW."
        )
    return {"side": side} if getattr(optimizer, "by_side", False) else {}


def gradients_unless(held: bool) -> AbstractContextManager[Any]:
    """Return a context that builds no graph where a side is held, and changes nothing otherwise."""
    return torch.no_grad() if held else nullcontext()


def standing_still(
    mask: StepMask | None, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer
) -> AbstractContextManager[None]:
    """Return a context in which a step leaves masked weights as they are; without a mask nothing happens."""
    return nullcontext() if mask is None else mask.still(parameters, optimizer)


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
    # First, while sharded parameters are shards: after a forward pass the root's are gathered copies.
    penalty = _penalty(objective, model, reference)
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
    """
    penalty = _penalty(objective, model, reference)
    micros = micro_batches(batch, side)
    totals: list[Tensor] = []
    estimate = torch.ones(())
    for position, micro in enumerate(micros):
        per_sample = objective(model, micro, reference)
        totals.append(_totals(per_sample))
        if position == 0:
            estimate = rank_sum(totals[0][1] * len(micros)).clamp_min(1.0) / world
        total = per_sample.sums.sum() / estimate.to(per_sample.sums.dtype)
        if position < len(micros) - 1:
            accumulate(total)
    everywhere = rank_sum(torch.stack(totals).sum(0))
    whole = torch.where(everywhere[1] > 0, everywhere[1], 1.0)
    value = everywhere[0] / whole
    if penalty is not None:
        total = total + penalty * (whole / world / estimate).to(total.dtype)
        value = value + penalty.detach()
    gradients = backward(total)
    scale_(gradients, world * estimate / whole)
    return value.to(total.dtype), gradients


def _totals(per_sample: Any) -> Tensor:
    """Return sum and count of a micro-batch on this rank, [2], float64."""
    return torch.stack([per_sample.sums.detach().double().sum(), per_sample.counts.double().sum()])


def _penalty(
    objective: Callable[..., Any], model: nn.Module, reference: Callable[[], nn.Module] | None
) -> Tensor | None:
    """Return an objective's penalty as a whole 0-d tensor; of shards, its gradient reaches each of them once."""
    found = objective.penalty(model, reference) if hasattr(objective, "penalty") else None
    return found.full_tensor() if isinstance(found, DTensor) else found


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
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        self.round = 0
        self.lr_scale = 1.0
        self.held: set[Side] = set()
        self.mask: StepMask | None = None
        self.last_good: str | None = None
        self.pass_rounds: dict[Side, int] | None = None

    def _objective(self, side: Side) -> Callable[..., Any]:
        objective = self.objectives[side]
        if objective is None:
            raise ConfigurationError(
                f"`{side}` must be an objective because the strategy asks for that side's loss. "
                f"Found None. Pass e.g. `{side}={'NLL()' if side == 'retain' else 'AscentNLL()'}`."
            )
        return objective

    def loss(self, side: Side, batch: ForgetRetainBatch) -> Tensor:
        """Return one side's mean loss, attached to the graph (unless the side is held)."""
        with gradients_unless(side in self.held):
            return objective_loss(
                self._objective(side), self.model, batch, side, self.reference, self.rank_sum
            )

    def backward(self, loss: Tensor) -> list[Tensor]:
        """Backpropagate and take the gradients."""
        loss.backward()  # type: ignore[no-untyped-call]
        return take_gradients(self.parameters)

    def gradients(self, side: Side, batch: ForgetRetainBatch) -> tuple[Tensor, list[Tensor]]:
        """Return one side's loss and gradients; zeros for a side that is held."""
        if side in self.held:
            return self.loss(side, batch), [torch.zeros_like(p) for p in self.parameters]
        if not isinstance(batch[side], (list, tuple)):  # the number of parts may differ between ranks
            attached = self.loss(side, batch)
            loss, gradients = attached.detach(), self.backward(attached)
        else:
            loss, gradients = accumulated_gradients(
                self._objective(side),
                self.model,
                batch,
                side,
                self.reference,
                self.rank_sum,
                accumulate=lambda loss: loss.backward(),  # type: ignore[no-untyped-call]
                backward=self.backward,
            )
        if self.mask is not None:
            self.mask.project_(gradients, side)
        return loss, gradients

    def apply(self, gradients: list[Tensor], side: Side | None = None) -> None:
        """Step the optimizer along ``gradients`` at the scheduled rate times ``lr_scale``, within the mask."""
        if self.mask is not None:
            self.mask.project_(gradients, side)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        with (
            scaled_learning_rate(self.optimizer, self.lr_scale),
            standing_still(self.mask, self.parameters, self.optimizer),
        ):
            self.optimizer.step(**side_argument(self.optimizer, side))
        self.optimizer.zero_grad(set_to_none=True)

    def observe(self, gradients: dict[Side, list[Tensor]]) -> None:
        """Look at nothing: the caller has the strategy's report."""

    def rank_sum(self, value: Tensor) -> Tensor:
        """Return the value itself: there is one rank."""
        return value

    def lower_loss_scale(self) -> None:
        """Do nothing: losses are not scaled."""
