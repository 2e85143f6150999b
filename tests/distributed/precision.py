"""Mixed precision on one process and on each rank of two."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision

from tests.distributed.contract import HOSTS, OPTIMIZERS, gathered, share, whole_batches
from tests.modules.tiny import loader, quiet
from unlearnkit.callbacks import GeN
from unlearnkit.modules import UnlearningModule
from unlearnkit.sharding import gathered_type
from unlearnkit.testing.host_contract import STRATEGIES, Kinked
from unlearnkit.testing.stub_strategies import AlternatingStub
from unlearnkit.testing.toys import ToyClassifier

BROKEN = 2
"""The round in which one sample of the second rank has a finite loss and a gradient of NaN."""


def plugin(precision: str) -> MixedPrecision:
    """Return Lightning's plugin; fp16's scaler starts at 1024, where nothing here overflows."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10) if precision == "16-mixed" else None
    return MixedPrecision(precision, "cpu", scaler=scaler)


def batches(rank: int | None, broken: bool) -> list[Any]:
    """Return fp32 batches; one forget sample of the second rank breaks its gradient where asked for."""
    found = []
    for round_, batch in enumerate(whole_batches(torch.float32)):
        forget, retain = batch["forget"], batch["retain"]
        if broken and round_ == BROKEN:
            forget["inputs"][-1, 0] = 0.0
        if rank is not None:
            forget, retain = share(forget, rank, 5), share(retain, rank, 4)
        found.append({"forget": forget, "retain": retain})
    return found


class Note(Callback):
    """Note why rounds are skipped."""

    def __init__(self) -> None:
        self.skipped: list[str | None] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.skipped.append(module.last_report.skipped)


def train(
    precision: str | None, kind: str, broken: bool, rank: int | None, gen: bool = False, **settings: Any
) -> dict[str, Any]:
    """Train and return what must be equal on every rank."""
    warnings.simplefilter("ignore")
    model = Kinked(torch.float32) if broken else ToyClassifier(seed=3)
    found = plugin(precision) if precision else None
    module = UnlearningModule(
        model,
        strategy=AlternatingStub(5, 3) if kind == "Alternating" else STRATEGIES[kind](),
        optimizer=OPTIMIZERS["SGD"],
    )
    start = torch.cat([p.detach().flatten() for p in model.parameters()])
    note = Note()
    trainer = quiet(
        use_distributed_sampler=False,
        plugins=[found] if found else [],
        callbacks=[note, *([GeN(every=2)] if gen else [])],
        **settings,
    )
    trainer.fit(module, loader(batches(rank, broken)))
    end = torch.cat([gathered(p).flatten() for p in module.host.parameters])
    scaler = getattr(found, "scaler", None)
    return {
        "moved": end - start,
        "skipped": note.skipped,
        "count": module.skipped_rounds,
        "rounds": module.host.round,
        "lr_scale": module.host.lr_scale,
        "gathered": gathered_type(module.model),
        "scale": None if scaler is None else scaler.get_scale(),
    }


def run_on_rank(
    host: str, precision: str | None, kind: str, broken: bool, gen: bool = False
) -> dict[str, Any]:
    """Run on this rank's share."""
    rank = int(os.environ["RANK"])
    return train(precision, kind, broken, rank, gen, devices=2, strategy=HOSTS[host]())
