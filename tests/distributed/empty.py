"""Runs of a network with batch norm in which one rank has no image for a step."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.callbacks.runs import fit
from tests.distributed.acting import rank
from tests.distributed.contract import HOSTS
from unlearnkit.batches import ImageTraits
from unlearnkit.datamodules import ForgetSet, Images
from unlearnkit.models import ImageClassifier
from unlearnkit.modules import UnlearningModule
from unlearnkit.strategies import Alternate

ROUNDS = 3


class Watched(ImageClassifier):
    """A network with batch norm, which notes of each training pass its images and whether statistics moved."""

    def __init__(self) -> None:
        super().__init__()
        self.materialize(ImageTraits(classes=10, channels=1, height=8))
        torch.manual_seed(0)
        self.norm = nn.BatchNorm2d(4)
        self.network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), self.norm, nn.Flatten(), nn.Linear(36, 10))
        self.passes: list[tuple[int, bool]] = []

    def forward(self, batch: Any) -> Tensor:
        """Return logits."""
        assert self.norm.running_mean is not None
        before = self.norm.running_mean.clone()
        logits = super().forward(batch)
        if self.training:
            self.passes.append((len(logits), not torch.equal(self.norm.running_mean, before)))
        return logits


def run(host: str, folder: str) -> list[tuple[int, bool]]:
    """Return what this rank's model noted; 3 forget images a round, on two ranks, in two steps."""
    warnings.simplefilter("ignore")
    data = Images("digits", forget=ForgetSet(classes=[3]), forget_batch_size=3, retain_batch_size=8)
    module = UnlearningModule(
        Watched(), strategy=Alternate(forget_steps=2), optimizer=lambda p: torch.optim.SGD(p, lr=0.1)
    )
    fit(module, ROUNDS, [], Path(folder) / str(rank()), data=data, devices=2, strategy=HOSTS[host]())
    found: Any = module.model
    return list(found.passes)
