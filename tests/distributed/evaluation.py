"""Validation, test and prediction in one process and on each rank of two, on sets of three rows."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loops import utilities
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, DistributedSampler

from tests.callbacks.runs import fit, module_for
from tests.distributed.contract import HOSTS, gathered
from tests.modules.tiny import quiet, tiny_lm
from unlearnkit.callbacks.run_folder import RunFolder
from unlearnkit.datamodules import TOFU
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.modules import UnlearningModule
from unlearnkit.strategies import FixedWeights
from unlearnkit.testing import toy_dataset

ROUNDS = 5


def data(size: int) -> TOFU:
    """Return one author to forget, three questions: a rank has two rows, or one and one that is not its own."""
    found = TOFU(
        authors=8,
        questions=3,
        evaluation_rows=3,
        vocab_size=300,
        max_length=128,
        knowledge=False,
        forget_batch_size=3,
        retain_batch_size=5,
        train_batch_size=size,
    )
    found.evaluation_names = ["forget", "retain"]
    return found


def module(dropout: float) -> UnlearningModule:
    """Return the same small model at each call."""
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)  # noqa: E731
    model = tiny_lm(dropout, vocabulary=300, max_length=128)
    return UnlearningModule(model, strategy=FixedWeights(), optimizer=sgd, seed=5)


def settings(host: str | None) -> dict[str, Any]:
    """Return the trainer's devices and strategy; None for one process."""
    return {} if host is None else {"devices": 2, "strategy": HOSTS[host]()}


class Validations(Callback):
    """Keep what each validation logs."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            found = trainer.callback_metrics
            self.seen.append({name: float(v) for name, v in found.items() if name.startswith("val/")})


def trained(host: str | None, dropout: float, validate: bool) -> dict[str, Any]:
    """Train, with a validation after every second round or with none; return the end and what was logged."""
    kept, found = Validations(), module(dropout)
    options: dict[str, Any] = {} if validate else {"limit_val_batches": 0}
    quiet(
        max_steps=ROUNDS,
        max_epochs=-1,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        callbacks=[kept],
        **options,
        **settings(host),
    ).fit(found, data(1))
    return {"parameters": [gathered(p) for p in found.host.parameters], "seen": kept.seen}


def evaluated(host: str | None, stage: str, size: int) -> dict[str, float]:
    """Return each set's loss of a model that was never trained."""
    found = getattr(quiet(**settings(host)), "validate" if stage == "val" else "test")(
        module(0.0), datamodule=data(size), verbose=False
    )
    return {name: value for part in found for name, value in part.items()}


def run(host: str | None) -> dict[str, Any]:
    """Return the losses of all stages, and how training ended with validation between its rounds and without."""
    warnings.simplefilter("ignore")
    return {
        "losses": {
            f"{stage} by {size}": evaluated(host, stage, size) for stage in ("val", "test") for size in (1, 2)
        },
        "fit": trained(host, 0.0, True),
        "with": trained(host, 0.3, True),
        "without": trained(host, 0.3, False),
    }


def as_with_nccl(host: str) -> dict[str, Any]:
    """Return what ``run`` does where the trainer does not see gloo, for which alone it avoids inference mode."""
    real, utilities.dist = utilities.dist, SimpleNamespace(get_backend=lambda: "nccl")
    try:
        return run(host)
    finally:
        utilities.dist = real


def predicted(host: str | None, folder: str, size: int) -> None:
    """Write predictions of a model that answers at unequal length into a folder."""
    warnings.simplefilter("ignore")
    found = module(0.0)
    with torch.no_grad():  # sharper than it was built, so that some answers end early and others do not
        for parameter in found.model.parameters():
            parameter.mul_(4)
    quiet(logger=CSVLogger(folder, name="", version=""), callbacks=[RunFolder()], **settings(host)).predict(
        found, data(size)
    )


def gathered_after(host: str, folder: str) -> dict[str, list[str]]:
    """Return by entry point of the trainer which parameters it leaves gathered from all ranks."""
    warnings.simplefilter("ignore")
    rounds: dict[str, Any] = {"max_steps": 2, "max_epochs": -1, "limit_val_batches": 0}
    every = {"limit_val_batches": 1.0, "val_check_interval": 1, "check_val_every_n_epoch": None}
    save = {"callbacks": [ModelCheckpoint(folder, every_n_train_steps=2)], "enable_checkpointing": True}
    runs: dict[str, tuple[str, dict[str, Any]]] = {
        "validate": ("validate", {}),
        "test": ("test", {}),
        "predict": ("predict", {}),
        "fit": ("fit", rounds),
        "fit that validates": ("fit", rounds | every),
        "fit that saves": ("fit", rounds | save),
    }
    found = {}
    for name, (stage, options) in runs.items():
        one = module(0.0)
        getattr(quiet(**options, **settings(host)), stage)(one, datamodule=data(1))
        found[name] = [name for name, p in one.model.named_parameters() if not isinstance(p, DTensor)]
    return found


def unequal(host: str) -> str:
    """Return the message with which loaders of unequal length are refused."""
    warnings.simplefilter("ignore")
    try:
        quiet(**settings(host)).predict(module(0.0), DataLoader(range(3), batch_size=1))
    except ConfigurationError as error:
        return str(error)
    raise AssertionError("it was not refused")


def outputs(host: str) -> tuple[list[int], list[int], bool]:
    """Return the shape of a classifier's predictions, of its outputs on this rank's rows, and whether they agree."""
    warnings.simplefilter("ignore")
    inputs = torch.stack([x for x, _ in toy_dataset(5)])
    rank = int(os.environ["RANK"])
    sampler = DistributedSampler(inputs, 2, rank, shuffle=False)
    loader = DataLoader(inputs, 2, sampler=sampler, collate_fn=lambda rows: {"inputs": torch.stack(rows)})
    found = torch.cat(quiet(**settings(host)).predict(module_for(), loader))
    want = module_for().model({"inputs": inputs[rank::2]})
    return list(found.shape), list(want.shape), torch.equal(found, want)


def too_few(host: str, folder: str) -> str:
    """Return the message with which a forget set of one row is refused on two processes."""
    warnings.simplefilter("ignore")
    try:
        few = PairedDatasets(toy_dataset(1), toy_dataset(4, seed=1), batch_size=2)
        fit(module_for(), 2, [], Path(folder), data=few, **settings(host))
    except DataError as error:
        return str(error)
    raise AssertionError("it was not refused")
