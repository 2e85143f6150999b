"""Diffusion models on each rank of two, which draw their shares of the same digits and the same noise."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.distributed.contract import HOSTS, state
from tests.distributed.resume import Stop
from tests.modules.diffusion_models import ROUNDS, train

Run = tuple[str, str]
"""Network and kind of method."""


def run_all(host: str, runs: list[Run]) -> dict[Run, dict[str, Any]]:
    """Make runs on this rank."""
    warnings.simplefilter("ignore")
    return {run: state(train(*run, devices=2, strategy=HOSTS[host]())) for run in runs}


def resumed(host: str, run: Run, folder: str) -> dict[str, Any]:
    """Run without a stop, then with one in the round before the last; say whether both have the same bits."""
    warnings.simplefilter("ignore")

    def ended(*callbacks: Any, path: Path | None = None) -> dict[str, Any]:
        options = {"enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks)}
        two = {"devices": 2, "strategy": HOSTS[host]()}
        return state(train(*run, None, callbacks, path=path, **options, **two))

    stop, whole = ROUNDS - 1, ended()
    here = Path(folder) / "-".join([host, *run])
    try:
        ended(Stop(stop), ModelCheckpoint(here, every_n_train_steps=1, save_top_k=-1, filename="{step}"))
        raise AssertionError("the run was not stopped")
    except InterruptedError:
        pass
    again = ended(path=here / f"step={stop}.ckpt")
    named = ("parameters", "moments", "buffers")
    return {what: all(map(torch.equal, again[what], whole[what])) for what in named} | {
        "rounds": again["rounds"]
    }
