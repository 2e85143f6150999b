"""The smallest alternating and reweighting strategies, and an optimizer with state by side, to try hosts with.

Both keep state that steers what they do, so that a run which loses it ends with other parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.batches import SIDES, ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import gram_matrix
from unlearnkit.host import Host
from unlearnkit.objectives import Objective, PerSample
from unlearnkit.objectives.base import Reference, UnlearnableModel
from unlearnkit.strategies import Losses, RoundReport, Strategy
from unlearnkit.strategies.base import verdict


class AlternatingStub(Strategy):
    """Make ``forget_steps`` steps on the forget side and ``retain_steps`` on the retain side in each round.

    A half-step whose gradients vanish or are not finite is left out; that is decided on numbers which are
    the same on all ranks. The gradients are divided by one plus the side's running mean of ``|loss|``.

    Args:
        forget_steps: T_f, half-steps on the forget side.
        retain_steps: T_r, half-steps on the retain side.
        decay: What the running mean keeps of its value in a half-step.

    Raises:
        ConfigurationError: A number of half-steps is below 0, or both are 0.

    >>> AlternatingStub(2, 1).schedule
    ('forget', 'forget', 'retain')
    """

    means: Tensor
    """Running mean of ``|loss|`` by side (forget, retain), [2], float64."""
    skipped_half_steps: Tensor
    """How many half-steps were left out, 0-d int64."""

    def __init__(self, forget_steps: int = 5, retain_steps: int = 3, decay: float = 0.9) -> None:
        super().__init__()
        if min(forget_steps, retain_steps) < 0 or forget_steps + retain_steps == 0:
            raise ConfigurationError(
                "`forget_steps` and `retain_steps` must be 0 or above, and one of them above 0. "
                f"Found {forget_steps} and {retain_steps}. Use e.g. forget_steps=5, retain_steps=3."
            )
        forget: tuple[Side, ...] = ("forget",)
        retain: tuple[Side, ...] = ("retain",)
        self.schedule = forget * forget_steps + retain * retain_steps
        self.decay = decay
        self.register_buffer("means", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("skipped_half_steps", torch.zeros((), dtype=torch.int64))

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Make the half-steps in order; report each side's loss before its first one."""
        first: Losses = {}
        reasons: list[str] = []
        for side in self.schedule:
            loss, gradients = host.gradients(side, batch)
            first.setdefault(side, loss)
            reason = verdict(host, {side: loss}, [gram_matrix(gradients, gradients).rr])
            if reason is not None:
                reasons.append(reason)
                continue
            mean = self.means[SIDES.index(side)]
            mean.mul_(self.decay).add_(loss.double().abs(), alpha=1 - self.decay)
            factor = 1.0 / (1.0 + mean)
            host.apply([gradient * factor.to(gradient.dtype) for gradient in gradients], side)
        self.skipped_half_steps += len(reasons)
        return RoundReport(first, skipped=reasons[0] if len(reasons) == len(self.schedule) else None)


class Weighted(Objective):
    """Weigh an objective's samples by their index: ``sum(w * sums) / sum(w * counts)``.

    Args:
        objective: What is weighed.
        rows: Number of rows of the whole data set, one more than the largest index.
    """

    weights: Tensor
    """Weight of each row, [rows], float64; ones at the start."""

    def __init__(self, objective: Objective, rows: int) -> None:
        super().__init__()
        self.objective = objective
        self.register_buffer("weights", torch.ones(rows, dtype=torch.float64))

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]
        """Whether the weighed objective compares with the reference."""
        return self.objective.needs_reference

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return the objective's sums and counts [batch], times the samples' weights."""
        found: PerSample = self.objective(model, batch, reference)
        weights = self.weights[batch["index"]]
        return PerSample(found.sums * weights.to(found.sums.dtype), found.counts * weights)

    def penalty(self, model: UnlearnableModel, reference: Reference | None = None) -> Tensor | None:
        """Return the weighed objective's penalty."""
        return self.objective.penalty(model, reference)


class ReweightedStub(Strategy):
    """Let an inner strategy make the rounds, and give one objective's samples new weights every few rounds.

    Args:
        inner: Makes the rounds.
        weighted: The objective whose weights change; the same object that the host was given. It alone
            saves the weights.
        every: Rounds between two changes.

    >>> from unlearnkit.host import PlainHost
    >>> from unlearnkit.objectives import NLL, AscentNLL
    >>> from unlearnkit.strategies import NGDiff
    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, forget = ToyClassifier(), Weighted(AscentNLL(), rows=4)
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> host = PlainHost(model, forget=forget, retain=NLL(), optimizer=sgd)
    >>> _ = ReweightedStub(NGDiff(), forget, every=1).step(host, toy_pair())
    >>> len(forget.weights.unique())
    4
    """

    def __init__(self, inner: Strategy, weighted: Weighted, every: int = 2) -> None:
        super().__init__()
        self.inner = inner
        self.every = every
        # In a tuple it is no submodule: the weights are saved once, with the objective.
        self._weighted = (weighted,)
        self.sides = inner.sides  # type: ignore[misc]
        self.normalized = inner.normalized  # type: ignore[misc]

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Make the inner strategy's round; where one is due, make new weights of its losses."""
        report = self.inner.update(host, batch)
        if (host.round + 1) % self.every == 0:
            weights = self._weighted[0].weights
            loss = torch.stack([loss.double() for loss in report.losses.values()]).sum()
            rows = torch.arange(1, len(weights) + 1, dtype=weights.dtype, device=weights.device)
            weights.copy_(1 + 0.5 * torch.sin(rows * loss.to(weights.device)))
        return report


class SidedSGD(torch.optim.Optimizer):
    """SGD with one momentum buffer for each side; without a side it allocates both and moves nothing.

    Distributed checkpoints step an optimizer whose state is empty to learn what there is to load.

    Args:
        parameters: What is moved.
        lr: Learning rate.
        momentum: What a buffer keeps in a step.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> sgd = SidedSGD([weight], lr=0.5)
    >>> weight.grad = torch.ones(1)
    >>> sgd.step(side="forget")
    >>> weight.item(), sgd.state[weight]["forget"].item(), sgd.state[weight]["retain"].item()
    (0.5, 1.0, 0.0)
    """

    by_side = True

    def __init__(self, parameters: Any, lr: float = 0.05, momentum: float = 0.9) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None, side: Side | None = None) -> None:  # type: ignore[override]
        """Step along the gradients with the momentum of one side.

        Args:
            closure: Evaluates and backpropagates first, as other optimizers' does; its loss is not returned.
            side: Whose momentum; None allocates the state and moves nothing.
        """
        if closure is not None:
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                for name in SIDES:
                    if name not in state:
                        state[name] = torch.zeros_like(parameter)
                if side is None:
                    continue
                state[side].mul_(group["momentum"]).add_(parameter.grad)
                parameter.add_(state[side], alpha=-group["lr"])
