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

from unlearnkit.batches import ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError
from unlearnkit.reduction import SampleWeights, accumulated_gradients, objective_loss


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
        sample_weights: Weights of the forget side's samples, or None for all alike (U2A writes here): the side's loss
            is ``sum(w sums) / sum(w counts)`` over ranks and micro-batches.
    """

    round: int
    lr_scale: float
    held: set[Side]
    mask: StepMask | None
    sample_weights: SampleWeights | None

    @property
    def model(self) -> nn.Module:
        """The model being trained, as objectives are given it."""
        ...

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters, in the order of their gradients."""
        ...

    @property
    def place(self) -> tuple[int, int]:
        """This process and the number of processes, (rank, world size)."""
        ...

    @property
    def reference(self) -> Callable[[], Any] | None:
        """Returns the frozen target, for objectives that compare with it; None where there is none."""
        ...

    def objective(self, side: Side) -> Any:
        """Return one side's objective."""
        ...

    def restart(self, values: list[Tensor]) -> None:
        """Write these values into the parameters and let the optimizer forget what it carried."""
        ...

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


@torch.no_grad()
def restart(parameters: list[nn.Parameter], values: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Write values into parameters, on whatever device they are, and empty the optimizer's state."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
    optimizer.state.clear()


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
        self.sample_weights: SampleWeights | None = None
        self.place = (0, 1)
        self.last_good: str | None = None
        self.pass_rounds: dict[Side, int] | None = None

    def objective(self, side: Side) -> Callable[..., Any]:
        """Return one side's objective.

        Raises:
            ConfigurationError: There is none.
        """
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
                self.objective(side),
                self.model,
                batch,
                side,
                self.reference,
                self.rank_sum,
                1,
                self._weights(side),
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
                self.objective(side),
                self.model,
                batch,
                side,
                self.reference,
                self.rank_sum,
                accumulate=lambda loss: loss.backward(),  # type: ignore[no-untyped-call]
                backward=self.backward,
                weights=self._weights(side),
            )
        if self.mask is not None:
            self.mask.project_(gradients, side)
        return loss, gradients

    def _weights(self, side: Side) -> SampleWeights | None:
        return self.sample_weights if side == "forget" else None

    def restart(self, values: list[Tensor]) -> None:
        """Write these values into the parameters and empty the optimizer's state."""
        restart(self.parameters, values, self.optimizer)

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
