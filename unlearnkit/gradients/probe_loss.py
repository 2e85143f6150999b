"""The retain loss along a displacement: eval mode, and the same random numbers at every point."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from unlearnkit.batches import ForgetRetainBatch
from unlearnkit.gradients.probe import Displacement
from unlearnkit.host import PlainHost, eval_mode

RetainLoss = Callable[[], tuple[Tensor, Tensor]]
"""Returns the retain loss where the model is now: sum and count over all ranks, 0-d, no gradient."""


class LossAlong:
    """``L(r)``: write ``theta_before + r u``, evaluate there, return nats per unit in float64.

    Noise that differs between two forwards would swamp their difference: the global generators are put
    back after each, so that every point sees the same draws and training sees its own.

    Args:
        moved: A measured displacement.
        loss: Evaluates the retain loss.

    Attributes:
        forwards: Number of evaluations so far.
        count: Scored units of the last one.

    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> moved = Displacement(model)
    >>> _ = model.weight.data.add_(2.0)
    >>> moved.measure()
    >>> start = float(LossAlong(moved, lambda: (model.weight.detach().sum(), torch.ones(())))(0.0))
    >>> along = LossAlong(moved, lambda: (model.weight.detach().sum() - start, torch.ones(())))
    >>> [round(along(r), 4) for r in (-1.0, 0.0, 1.0)], along.forwards
    ([-2.0, 0.0, 2.0], 3)
    """

    def __init__(self, moved: Displacement, loss: RetainLoss) -> None:
        self.moved = moved
        self.loss = loss
        self.forwards = 0
        self.count = 1.0

    def __call__(self, r: float) -> float:
        """Return L(r); the model stays at ``theta_before + r u``."""
        self.moved.write(r)
        with _forked_generators():
            total, count = self.loss()
        self.forwards += 1
        values: list[float] = torch.stack([total.double(), count.double()]).tolist()
        self.count = values[1] if values[1] > 0.0 else 1.0
        return values[0] / self.count


def _forked_generators() -> AbstractContextManager[None]:
    """Put the global generators of the processor and the current GPU back afterwards."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    forked: AbstractContextManager[None] = torch.random.fork_rng(devices=devices)
    return forked


@torch.no_grad()
def plain_loss(host: PlainHost, batch: ForgetRetainBatch) -> tuple[Tensor, Tensor]:
    """Return a plain host's mean retain loss in eval mode, 0-d, and a count of one."""
    with eval_mode(host.model):
        loss = host.loss("retain", batch)
    return loss, torch.ones_like(loss)
