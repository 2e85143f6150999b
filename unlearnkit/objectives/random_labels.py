"""RandomLabels: learn something else about the data to forget."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel

Draw = Literal["once", "every_round"]

_MASK = 2**31 - 1


class RandomLabels(Objective):
    """Minimise the cross-entropy to labels drawn at random: RL (Golatkar et al. 2020), and SalUn's loss.

    The published code bases differ, and both are here. ``once`` draws one wrong label for each sample and keeps it
    (SFRon's): a function of seed and row, so that it is the same in every epoch, on every rank and after a resume.
    ``every_round`` draws anew in each batch among *all* classes, the true one too (SalUn's and DualOptim's). It draws
    from torch's own generator, which a training run seeds for each round, so that a resume draws the same; ranks and
    micro-batches draw each for themselves, so that two processes are another run than one.

    Args:
        draw: ``once`` or ``every_round``.
        seed: Of the labels that are drawn once.

    Raises:
        UnknownNameError: ``draw`` is neither of the two.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> batch = toy_pair(seed=0)["forget"]
    >>> bool((RandomLabels().labels(batch["targets"], batch["index"], 3) != batch["targets"]).all())
    True
    """

    role = "forget"

    def __init__(self, draw: Draw = "once", seed: int = 0) -> None:
        super().__init__()
        if draw not in ("once", "every_round"):
            raise UnknownNameError.among("draw", draw, ["once", "every_round"])
        self.draw: Draw = draw
        self.seed = seed

    def labels(self, targets: Tensor, index: Tensor, classes: int) -> Tensor:
        """Return a label for each sample, [batch].

        Args:
            targets: True labels, [batch].
            index: Row of each sample in its data set, [batch].
            classes: Number of classes.
        """
        if self.draw == "every_round":
            return torch.randint_like(targets, classes)
        return (targets + 1 + _mixed(index, self.seed) % max(1, classes - 1)) % classes

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's cross-entropy to its drawn label [batch], nats, and ones [batch]."""
        logits, targets, _ = model.units(batch)
        drawn = self.labels(targets[:, 0], batch["index"].to(targets.device), logits.shape[-1])
        losses = cross_entropy(logits[:, 0], drawn, reduction="none")
        return PerSample(losses, torch.ones_like(losses))


def _mixed(index: Tensor, seed: int) -> Tensor:
    """Return numbers in [0, 2**31) that look random, each a function of row and seed alone."""
    value = (index * 0x9E3779B1 + (seed + 1) * 0x85EBCA77) & 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x68BC21EB)):
        value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFF
    return (value ^ (value >> 16)) & _MASK
