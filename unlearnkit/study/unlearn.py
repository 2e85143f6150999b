"""unlearn: one call for an engineer with a model and two data sets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, Trainer
from torch import nn

from unlearnkit.batches import SIDES
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ConfigurationError
from unlearnkit.models import WithCriterion
from unlearnkit.models.criterion import Criterion, per_sample_cross_entropy
from unlearnkit.study.method import load_method
from unlearnkit.study.quiet import quiet


@dataclass(frozen=True)
class Unlearned:
    """What ``unlearn`` returns.

    Attributes:
        model: The model given, changed in place, in the mode and on the device it came in.
        before: Mean loss per unit on each side before unlearning, nats: ``forget``, ``retain``.
        after: The same after it. Forgetting shows as a higher forget loss, its cost as a higher retain loss.
        rounds: Rounds made.
        seconds: Time they took.
        log: One dictionary a round: the losses, and weights and cosine where the method has them.
    """

    model: nn.Module
    before: dict[str, float]
    after: dict[str, float]
    rounds: int
    seconds: float
    log: list[dict[str, float]] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        """Say in two lines what was forgotten and what it cost."""
        sides = (
            f"{side} loss {self.before[side]:.3f} -> {self.after[side]:.3f}" for side in ("forget", "retain")
        )
        return f"{', '.join(sides)} nats\n{self.rounds} rounds in {self.seconds:.1f} s"


class _Log(Callback):
    """Keep each round's report."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        report = pl_module.last_report
        entry = {f"loss/{side}": float(loss) for side, loss in report.losses.items()}
        if report.gram is not None:
            entry["cosine"] = float(report.gram.cosine)
        self.rounds.append(entry)


def unlearn(
    model: nn.Module,
    *,
    forget: Any,
    retain: Any,
    method: str = "ngdiff",
    loss: Criterion | None = None,
    rounds: int | None = None,
    batch_size: int = 32,
    lr: float | None = None,
    seed: int = 0,
    accelerator: str = "auto",
) -> Unlearned:
    """Make a model forget one data set while it keeps another, and return it with what that cost.

    Args:
        model: Any module that maps a batch of inputs to outputs, or one with unlearnkit's own model methods
            (``losses``, ``counts``). It is changed in place.
        forget: Map-style data set of ``(input, target)`` pairs to forget.
        retain: The same to keep; at least part of what the model was trained on.
        method: Name of a packaged method (``unlearnkit list methods``) or the path of a YAML.
        loss: Maps (outputs, targets) to one loss per sample, e.g. ``nn.CrossEntropyLoss(reduction="none")``;
            the default is cross-entropy.
        rounds: Rounds to make; default the method's own.
        batch_size: Samples of each side in a round.
        lr: Learning rate in place of the method's own.
        seed: Seed of the order of the data and of dropout.
        accelerator: Lightning accelerator.

    Raises:
        UnknownNameError: There is no such method; the message lists them.
        DataError: A data set is empty, or a sample is in both.
        ConfigurationError: An argument breaks its rule.

    >>> import torch
    >>> from unlearnkit.testing import toy_dataset
    >>> model = nn.Linear(5, 3)
    >>> result = unlearn(model, forget=toy_dataset(8, seed=0), retain=toy_dataset(24, seed=1), rounds=2)
    >>> result.rounds, result.model is model
    (2, True)
    """
    row = load_method(method)
    if rounds is not None and rounds < 1:
        raise ConfigurationError(f"`rounds` must be at least 1. Found {rounds}. Use e.g. rounds=60.")
    row = row.with_rounds(rounds)
    wrapped = model if hasattr(model, "losses") else WithCriterion(model, loss or per_sample_cross_entropy)
    module, callbacks = (row if lr is None else row.with_learning_rate(lr)).build(wrapped, seed)
    data = PairedDatasets(forget, retain, batch_size=batch_size, seed=seed)
    mode, home = model.training, next(model.parameters()).device
    log = _Log()
    with quiet():
        trainer = Trainer(
            max_steps=row.rounds,
            accelerator=accelerator,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[*callbacks, log],
        )
        device = trainer.strategy.root_device
        before = _losses(wrapped, data, device)
        started = time.perf_counter()
        trainer.fit(module, datamodule=data)
        seconds = time.perf_counter() - started
    after = _losses(wrapped, data, device)
    model.train(mode).to(home)
    return Unlearned(model, before, after, len(log.rounds), seconds, log.rounds)


@torch.no_grad()
def _losses(model: Any, data: PairedDatasets, device: torch.device) -> dict[str, float]:
    """Return the mean loss per unit of each side, over all its samples, in eval mode."""
    model.eval().to(device)
    means: dict[str, float] = {}
    for side in SIDES:
        total, count = 0.0, 0
        for drawn in data.batches(side):
            batch = move_data_to_device(drawn, device)
            total += float(model.losses(batch).double().sum())
            count += int(model.counts(batch).sum())
        means[side] = total / max(1, count)
    return means
