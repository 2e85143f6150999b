"""Runs with WeightMask: in one process, and on each rank of two."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.callbacks.runs import fit, rows
from tests.distributed.acting import settings, whole
from tests.distributed.contract import gathered
from unlearnkit.callbacks import WeightMask
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.modules import UnlearningModule
from unlearnkit.optim import DualOptim
from unlearnkit.strategies import Alternate
from unlearnkit.testing import ToyClassifier

ROUNDS, STOP = 5, 2
SCORES = ("salun", "salun_difference", "fisher_ratio")
RESUMED = "fisher_ratio"
"""The score whose run goes on from a checkpoint, too."""


def dual(parameters: Any) -> DualOptim:
    """Return AdamW for forget steps and SGD for retain steps, both with decay."""
    return DualOptim(
        parameters,
        forget=partial(torch.optim.AdamW, lr=0.02, weight_decay=0.3),
        retain=partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    )


class Double(PairedDatasets):
    """Float64 samples, three of which are a batch: five batches of one side, a number that two ranks cannot share."""

    def __init__(self) -> None:
        sides = [
            [(inputs.double(), target) for inputs, target in rows(side)] for side in ("forget", "retain")
        ]
        super().__init__(sides[0], sides[1][:13], batch_size=3)


def run(host: str | None, score: Any, folder: str) -> dict[str, Any]:
    """Make a run; with one of the scores also one that goes on from its second round."""
    warnings.simplefilter("ignore")
    shared, ends = Path(folder), []
    path = shared / f"{host}-{score}.ckpt"
    again = ((STOP, None), (ROUNDS, path)) if score == RESUMED else ()
    for rounds, start in ((ROUNDS, None), *again):
        mask = WeightMask(score, keep=None if score == "fisher_ratio" else 0.4)
        module = UnlearningModule(ToyClassifier(seed=3, dtype=torch.float64), None, None, Alternate(), dual)
        trainer = fit(module, rounds, [mask], shared, data=Double(), ckpt_path=start, **settings(host))
        if rounds == STOP:
            trainer.save_checkpoint(path)
        ends.append(whole(module))
    assert mask.masks is not None
    kept = torch.cat([one.flatten() for one in mask.masks.values()])
    states = [_states(module, parameter) for parameter in module.host.parameters]
    return {
        "kept": kept,
        "ended": ends[0],
        "resumed": ends[-1],
        "state": torch.cat(states),
    }


def _states(module: UnlearningModule, parameter: Tensor) -> Tensor:
    """Return the largest size of each weight's states, collected from all ranks, [n]."""
    found = module.trainer.optimizers[0].state[parameter].values()
    sizes = [gathered(value).abs().flatten() for value in found if value.shape == parameter.shape]
    return torch.stack(sizes).amax(0)


def run_all(host: str, scores: list[str], folder: str) -> dict[str, dict[str, Any]]:
    """Make the runs of some scores on this rank."""
    return {score: run(host, score, folder) for score in scores}
