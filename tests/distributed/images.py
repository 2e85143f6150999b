"""Image classifiers on one process and on each rank of two, which draw their shares of the same digits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.distributed.contract import HOSTS, state
from tests.distributed.resume import Stop
from tests.modules.image_models import ROUNDS, statistics, train
from unlearnkit.modules import UnlearningModule

Run = tuple[str, str, bool]
"""Network, kind of strategy, and whether batch norms keep their statistics."""


def outcome(module: UnlearningModule) -> dict[str, Any]:
    """Return what must be equal on every rank and in one process."""
    return state(module) | {"statistics": statistics(module)}


def run_all(host: str, runs: list[Run]) -> dict[Run, dict[str, Any]]:
    """Make runs on this rank."""
    warnings.simplefilter("ignore")
    found = {}
    for run in runs:
        network, kind, frozen = run
        found[run] = outcome(train(network, kind, frozen=frozen, devices=2, strategy=HOSTS[host]()))
    return found


def resumed(host: str, run: Run, folder: str) -> dict[str, Any]:
    """Run without a stop, then with one in the round before the last; say whether both have the same bits."""
    warnings.simplefilter("ignore")
    network, kind, frozen = run

    def ended(*callbacks: Any, path: Path | None = None) -> dict[str, Any]:
        options = {"enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks)}
        two = {"devices": 2, "strategy": HOSTS[host]()}
        return outcome(train(network, kind, None, callbacks, frozen=frozen, path=path, **options, **two))

    stop, whole = ROUNDS - 2, ended()
    here = Path(folder) / f"{host}-{network}-{kind}"
    try:
        ended(Stop(stop), ModelCheckpoint(here, every_n_train_steps=1, save_top_k=-1, filename="{step}"))
        raise AssertionError("the run was not stopped")
    except InterruptedError:
        pass
    again = ended(path=here / f"step={stop}.ckpt")
    named = ("parameters", "moments", "buffers", "statistics")
    return {what: all(map(torch.equal, again[what], whole[what])) for what in named} | {
        "rounds": again["rounds"]
    }
