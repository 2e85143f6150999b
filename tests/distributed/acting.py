"""Runs with callbacks that evaluate, stop, hold and go back: in one process, and on each rank of two."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor

from tests.callbacks.runs import TwoLosses, batch_of, fit, module_for, rows
from tests.distributed.contract import HOSTS, gathered
from unlearnkit.callbacks import CollapseGuard, EvaluateEvery, ForgetTarget, GeN
from unlearnkit.callbacks.order import LAST
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ConfigurationError
from unlearnkit.modules import FSDP2, UnlearningModule
from unlearnkit.modules.checkpoints import read_weights
from unlearnkit.strategies import FixedWeights, ForgetOnly

ROUNDS = 12


STRATEGIES = HOSTS | {
    "fsdp2-file": lambda: FSDP2(save_distributed_checkpoint=False, process_group_backend="gloo")
}


def rank() -> int:
    """Return this worker's rank."""
    return int(os.environ.get("RANK", "0"))


def whole(module: UnlearningModule) -> Tensor:
    """Return a copy of all parameters, collected from all ranks, [n]."""
    return torch.cat([gathered(p).flatten() for p in module.host.parameters])


class Points(Callback):
    """Keep the parameters after each round."""

    def __init__(self) -> None:
        self.points: dict[int, Tensor] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.points[trainer.global_step] = whole(pl_module)


class Poison(Callback):
    """Break one round's forget batch, on the last rank alone."""

    def __init__(self, round_: int) -> None:
        self.round = round_

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.round and trainer.global_rank == trainer.world_size - 1:
            batch["forget"]["inputs"].fill_(torch.nan)


class OfThisRank(TwoLosses):
    """An evaluator whose numbers differ from rank to rank, as sums in another order do."""

    def evaluate(self, model, datamodule, reference=None):
        found = super().evaluate(model, datamodule, reference)
        return found | {"summary": {name: (v or 0) + 1e-3 * rank() for name, v in found["summary"].items()}}


class Saved(Callback):
    """Write a checkpoint after some rounds, when all others have acted."""

    when = LAST

    def __init__(self, folder: Path, rounds: list[int]) -> None:
        self.folder, self.rounds = folder, rounds

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step in self.rounds:
            trainer.save_checkpoint(self.folder / f"step={trainer.global_step}.ckpt")


class Notes(Logger):
    """Note on every rank what it is told."""

    name, version = "notes", 0

    def __init__(self) -> None:
        super().__init__()
        self.evaluated: list[int] = []

    def log_metrics(self, metrics, step=None):
        if any(name.startswith("eval/") for name in metrics):
            self.evaluated.append(step)

    def log_hyperparams(self, *arguments, **named):
        """Note nothing."""


class Data(PairedDatasets):
    """Both sides, and unseen samples."""

    def __init__(self, size: int) -> None:
        super().__init__(rows("forget"), rows("retain"), batch_size=size)
        self.batch_sizes["train"] = (
            2  # 7 forget samples: 2 batches on each rank, the last of one rank of one row
        )

    def unseen_batches(self) -> list[Any]:
        """Return all of them, on every rank."""
        return [batch_of("unseen")]


def make(kind: str) -> tuple[UnlearningModule, list[Callback]]:
    """Return a fresh module and the callbacks of one kind of run."""
    gen = [GeN(every=6, safeguard=False)] if kind.endswith("-gen") else []
    strategy: Any = FixedWeights(c=0.5) if kind.startswith("hold") or gen else ForgetOnly()
    adam = {"optimizer": lambda p: torch.optim.AdamW(p, lr=0.05)} if kind.endswith("-adam") else {}
    module = module_for(1.0, strategy, **adam)
    found: dict[str, list[Callback]] = {
        "stop": [ForgetTarget(target=2.0, every=2)],
        "stop-unseen": [ForgetTarget(target="unseen", every=1)],
        "hold": [ForgetTarget(target=0.1, action="hold", every=1)],
        "guard": [CollapseGuard(every=2, norm_factor=None)],
        "guard-norm": [CollapseGuard(every=4, norm_factor=1.05)],
        "guard-nan": [CollapseGuard(every=2, norm_factor=None), Poison(5)],
        "guard-nan-adam": [CollapseGuard(every=2, norm_factor=None, offload=True), Poison(5)],
        "guard-nan-gen": [CollapseGuard(every=2, norm_factor=None), Poison(5)],
    }
    return module, [*found[kind], *gen]


KINDS = ("stop", "stop-unseen", "hold", "guard", "guard-norm", "guard-nan", "guard-nan-gen")


def settings(host: str | None) -> dict[str, Any]:
    """Return the trainer's devices and strategy; None for one process."""
    return {"devices": 1} if host is None else {"devices": 2, "strategy": STRATEGIES[host]()}


def outcome(module: UnlearningModule, callbacks: list[Callback], points: Points) -> dict[str, Any]:
    """Return what must be the same on every rank and, but for rounding, in one process."""
    acting: Any = callbacks[0]
    return {
        "rounds": module.trainer.global_step,
        "parameters": whole(module),
        "points": points.points,
        "scale": acting.state_dict().get("scale", 1.0),
        "state": {k: v for k, v in acting.state_dict().items() if k != "healthy"},
        "held": sorted(module.host.held),
        "value": getattr(acting, "value", 0.0),
    }


def run(host: str | None, kind: str, folder: str) -> dict[str, Any]:
    """Make one kind of run."""
    warnings.simplefilter("ignore")
    module, callbacks = make(kind)
    points = Points()
    fit(module, ROUNDS, [*callbacks, points], Path(folder), data=Data(8), **settings(host))
    return outcome(module, callbacks, points)


def run_all(host: str, folder: str) -> dict[str, dict[str, Any]]:
    """Make all kinds of runs on this rank."""
    return {kind: run(host, kind, folder) for kind in KINDS}


def best(host: str, folder: str) -> dict[str, Any]:
    """Keep the best checkpoint by a composite; return it, and what each rank saw and wrote."""
    warnings.simplefilter("ignore")
    evaluate = EvaluateEvery(OfThisRank(), every=2, score={"forget_loss": 0.2, "retain_loss": -1.0})
    save = ModelCheckpoint(folder, "{step}", monitor="eval/score", mode="max", every_n_train_steps=2)
    points, notes, module = Points(), Notes(), module_for(0.3, ForgetOnly())
    fit(module, 30, [save, evaluate, points], Path(folder), data=Data(4), logger=notes, **settings(host))
    module.trainer.strategy.barrier()
    saved = read_weights(save.best_model_path)
    return {
        "path": evaluate.path,
        "best": save.best_model_path,
        "score": float(save.best_model_score),
        "metric": float(module.trainer.callback_metrics["eval/score"]),
        "saved": torch.cat([saved[f"model.layer.{name}"].flatten() for name in ("weight", "bias")]),
        "points": points.points,
        "logged": notes.evaluated,
    }


def resumed(
    host: str, kind: str, stops: list[int], folder: str
) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """Return by stop how a run ended and how it ended after a resume from there."""
    warnings.simplefilter("ignore")
    shared = Path(folder)
    whole_module, callbacks = make(kind)
    points = Points()
    fit(
        whole_module,
        ROUNDS,
        [*callbacks, points, Saved(shared, stops)],
        shared,
        data=Data(8),
        **settings(host),
    )
    ended, found = outcome(whole_module, callbacks, points), {}
    for stop in stops:
        module, again = make(kind)
        path = shared / f"step={stop}.ckpt"
        fit(module, ROUNDS, [*again, points], shared, data=Data(8), ckpt_path=path, **settings(host))
        found[stop] = ended, outcome(module, again, points)
    return found


def moved(host: str, then: str, folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how a run ended, and how one ended that was saved after a fit of 5 rounds and resumed elsewhere."""
    warnings.simplefilter("ignore")
    shared, path = Path(folder), Path(folder) / "end.ckpt"
    found = []
    for rounds, where, start in ((ROUNDS, host, None), (5, host, None), (ROUNDS, then, path)):
        module, callbacks = make("guard-nan-adam")
        points = Points()
        options = settings(where) | {"ckpt_path": start}
        trainer = fit(module, rounds, [*callbacks, points], shared, data=Data(8), **options)
        if rounds == 5:
            trainer.save_checkpoint(path)
        found.append(outcome(module, callbacks, points))
    return found[0], found[2]


class Uneven(Data):
    """Hand the second rank one batch more."""

    def unseen_batches(self) -> list[Any]:
        """Return one batch, or two."""
        return super().unseen_batches() * (1 + rank())


def uneven(host: str, folder: str) -> str:
    """Return the message with which unseen data of unequal length are refused."""
    warnings.simplefilter("ignore")
    module, callbacks = make("stop-unseen")
    try:
        fit(module, 3, callbacks, Path(folder), data=Uneven(8), **settings(host))
    except ConfigurationError as error:
        return str(error)
    raise AssertionError("it was not refused")
