"""Runs that are stopped and resumed on each rank of two."""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.distributed.contract import HOSTS, gathered
from tests.modules.tiny import quiet, tiny_lm
from unlearnkit.callbacks import GeN
from unlearnkit.datamodules import TOFU
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NPO, AscentNLL
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.optim.state_8bit import SCALE
from unlearnkit.strategies import Alternate, NGDiff
from unlearnkit.testing.stub_strategies import AlternatingStub

ROUNDS = 7
STOPS = (1, 3, 6)
"""Within the first epoch of four rounds, before its last round, and within the second."""

BY_SIDE: dict[str, Any] = {
    "dual": lambda p: DualOptim(
        p, partial(torch.optim.AdamW, lr=0.01), partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    ),
    "plus": partial(DualOptimPlus, lr=0.01, forget_lr=0.005),
    "dual-8bit": lambda p: DualOptim(
        p, partial(torch.optim.AdamW, lr=0.01), partial(torch.optim.AdamW, lr=0.01), state_bits=8
    ),
    "plus-8bit": partial(DualOptimPlus, lr=0.01, preset="slides", state_bits=8, state_library="bitsandbytes"),
}
KINDS = ("ngdiff-npo-gen", "alternating", *BY_SIDE)


class Stop(Callback):
    """End the run with an error in one round, on both ranks, after its first optimizer step."""

    def __init__(self, round_: int) -> None:
        self.round = round_

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if module.host.round == self.round + 1:
            raise InterruptedError


def data() -> TOFU:
    """Return eight authors in micro-batches of unequal ranks."""
    return TOFU(
        authors=8,
        questions=3,
        vocab_size=300,
        max_length=128,
        knowledge=False,
        forget_batch_size=3,
        retain_batch_size=5,
        epoch_length=4,
    )


def make(kind: str) -> tuple[UnlearningModule, list[Callback]]:
    """Return a fresh module, with dropout, momentum and a schedule, and its callbacks."""
    common: dict[str, Any] = {"scheduler": lambda optimizer: CosineAnnealingLR(optimizer, 10), "seed": 5}
    if kind == "alternating":
        sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)  # noqa: E731
        strategy = AlternatingStub(5, 3)
        return UnlearningModule(
            tiny_lm(0.3, vocabulary=300, max_length=128), AscentNLL(), None, strategy, sgd, **common
        ), []
    if kind in BY_SIDE:
        wide = tiny_lm(0.3, vocabulary=300, max_length=128, hidden_size=64)
        return UnlearningModule(wide, AscentNLL(), None, Alternate(2, 3), BY_SIDE[kind], **common), []
    adamw = lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)  # noqa: E731
    model = tiny_lm(0.3, vocabulary=300, max_length=128)
    return UnlearningModule(model, NPO(), None, NGDiff(), adamw, **common), [GeN(every=3)]


def state(module: UnlearningModule) -> dict[str, Any]:
    """Return everything that must have the same bits."""
    optimizer = module.trainer.optimizers[0]
    return {
        "parameters": [gathered(p) for p in module.host.parameters],
        "moments": [
            gathered(value)
            for p in module.host.parameters
            for _, value in sorted(optimizer.state[p].items())
            if isinstance(value, torch.Tensor)
        ],
        "eight": any(name.endswith(SCALE) for p in module.host.parameters for name in optimizer.state[p]),
        "buffers": [b.clone() for b in module.strategy.buffers()],
        "numbers": [module.host.lr_scale, optimizer.param_groups[0]["lr"], module.host.round],
    }


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Say whether two states have the same bits."""
    return first["numbers"] == second["numbers"] and all(
        len(first[what]) == len(second[what])
        and all(torch.equal(a, b) for a, b in zip(first[what], second[what], strict=True))
        for what in ("parameters", "moments", "buffers")
    )


def run_on_rank(host: str, kind: str, folder: str) -> dict[str, Any]:
    """Run once without a stop, then stopped in several rounds and resumed; compare the ends."""
    warnings.simplefilter("ignore")

    def fit(callbacks: list[Any], path: Path | None = None) -> UnlearningModule:
        module, own = make(kind)
        trainer = quiet(
            devices=2,
            strategy=HOSTS[host](),
            callbacks=[*own, *callbacks],
            enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
            max_steps=ROUNDS,
            max_epochs=-1,
        )
        trainer.fit(module, data(), ckpt_path=path, weights_only=True)
        return module

    start = state_of_start(kind)
    whole = state(fit([]))
    found = {"stops": [], "trained": not all(map(torch.equal, start, whole["parameters"]))}
    for stop in STOPS:
        here = Path(folder) / f"{host}-{kind}-{stop}"
        keep = ModelCheckpoint(here, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        try:
            fit([Stop(stop), keep])
            raise AssertionError("the run was not stopped")
        except InterruptedError:
            pass
        resumed = state(fit([], here / f"step={stop}.ckpt"))
        found["stops"].append(equal(resumed, whole))
    return found | {"rank": int(os.environ["RANK"]), "eight": whole["eight"]}


def state_of_start(kind: str) -> list[torch.Tensor]:
    """Return the parameters before any round."""
    return [p.detach().clone() for p in make(kind)[0].model.parameters()]
