"""Tiny unlearning runs for the tests of callbacks: a linear classifier, SGD, one process unless told otherwise."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.evaluators import Evaluator
from unlearnkit.modules import UnlearningModule
from unlearnkit.strategies import NGDiff, Strategy
from unlearnkit.testing import ToyClassifier, toy_dataset


def rows(side: str) -> list[tuple[torch.Tensor, int]]:
    """Return the samples of one side, labelled by one rule; `unseen` are of neither."""
    size, seed = {"forget": (7, 0), "retain": (24, 1), "unseen": (9, 2)}[side]
    rule = torch.randn(3, 5, generator=torch.Generator().manual_seed(7))
    return [(inputs, int((rule @ inputs).argmax())) for inputs, _ in toy_dataset(size, seed=seed)]


def batch_of(side: str) -> dict[str, torch.Tensor]:
    """Return all samples of one side in one batch."""
    found = rows(side)
    return {
        "inputs": torch.stack([inputs for inputs, _ in found]),
        "targets": torch.tensor([target for _, target in found]),
        "index": torch.arange(len(found)),
    }


def nll_of(model: nn.Module, side: str) -> float:
    """Return the mean negative log-likelihood on all samples of one side, in this process."""
    with torch.no_grad():
        return float(model.losses(batch_of(side)).double().mean())


@functools.cache
def learned() -> dict[str, torch.Tensor]:
    """Return the weights of a target that knows both sides: 0.05 nats on them, 0.5 on unseen samples."""
    model = ToyClassifier(seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(300):
        losses = torch.cat([model.losses(batch_of(side)) for side in ("forget", "retain")])
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return model.state_dict()


def module_for(lr: float = 0.1, strategy: Strategy | None = None, **settings: Any) -> UnlearningModule:
    """Return a module around the same small target."""
    optimizer = settings.pop("optimizer", lambda p: torch.optim.SGD(p, lr=lr, momentum=0.5))
    model = ToyClassifier()
    model.load_state_dict(learned())
    return UnlearningModule(model, strategy=strategy or NGDiff(), optimizer=optimizer, **settings)


def fit(
    module: UnlearningModule, rounds: int, callbacks: list[Callback], folder: Path, **options: Any
) -> Trainer:
    """Make some rounds of 4 forget and 4 retain samples, or of ``size`` where there are as many."""
    path = options.pop("ckpt_path", None)
    size = options.pop("size", 4)
    data = options.pop("data", None) or PairedDatasets(rows("forget"), rows("retain"), batch_size=size)
    settings = {
        "max_steps": rounds,
        "max_epochs": -1,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": any("Checkpoint" in type(c).__name__ for c in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
        "callbacks": callbacks,
    }
    trainer = Trainer(**(settings | options))
    trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
    return trainer


def fit_plain(callback: Callback) -> None:
    """Train a module that is no UnlearningModule."""

    class Plain(LightningModule):
        def training_step(self, batch, batch_idx):
            return batch.sum()

        def configure_optimizers(self):
            return None

    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[callback])
    trainer.fit(Plain(), DataLoader([torch.ones(1)]))


def flat(module: UnlearningModule) -> torch.Tensor:
    """Return a copy of all parameters, [n]."""
    return torch.cat([p.detach().flatten() for p in module.model.parameters()])


class Points(Callback):
    """Keep the parameters after each round, as what comes after CollapseGuard sees them."""

    def __init__(self) -> None:
        self.points: dict[int, torch.Tensor] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.points[trainer.global_step] = flat(pl_module)


class TwoLosses(Evaluator):
    """Evaluate both sides' losses; in the evaluations named, as a model that has collapsed or answers nothing."""

    def __init__(self, collapsed: dict[int, float | None] | None = None) -> None:
        self.collapsed = collapsed or {}
        self.count = 0

    def evaluate(self, model: nn.Module, datamodule: Any, reference: Any = None) -> dict[str, Any]:
        batches = {side: batch_of(side) for side in ("forget", "retain")}
        with torch.no_grad():
            summary: dict[str, Any] = {f"{s}_loss": float(model.losses(b).mean()) for s, b in batches.items()}
        if self.count in self.collapsed:
            summary["retain_loss"] = self.collapsed[self.count]
        self.count += 1
        return {"summary": summary | {"missing": None}, "reference": reference}
