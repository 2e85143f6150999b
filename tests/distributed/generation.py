"""Generators evaluated in one process and on each rank of two, which share the images or draw all in step."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from tests.distributed.contract import HOSTS
from tests.modules.tiny import quiet
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.datamodules import DiffusionImages
from unlearnkit.evaluators import GenerationEvaluator
from unlearnkit.models import DiffusionModel, HeldOutClassifier
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import FixedWeights


class Recorded(GenerationEvaluator):
    """Keep what each call returned."""

    found: list[dict[str, Any]]

    def evaluate(self, *arguments: Any) -> dict[str, Any]:
        evaluation = super().evaluate(*arguments)
        self.found = [*getattr(self, "found", []), evaluation]
        return evaluation


def run(host: str | None) -> list[dict[str, Any]]:
    """Unlearn for two rounds, evaluated before and after; one image does not divide by two."""
    warnings.simplefilter("ignore")
    data = DiffusionImages("digits", per_class=12, forget_batch_size=4, retain_batch_size=6, seed=3)
    evaluator = Recorded(
        HeldOutClassifier(epochs=2),
        forget_samples=5,
        samples_per_class=3,
        steps=2,
        guidance=1.0,
        eta=1.0,
        feature_dim=8,
        loss_rows=7,
        batch_size=9,
    )
    module = UnlearningModule(
        DiffusionModel(width=8, multipliers=[1]),
        forget=AscentNLL(),
        retain=NLL(),
        strategy=FixedWeights(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
        seed=5,
    )
    settings: dict[str, Any] = {} if host is None else {"devices": 2, "strategy": HOSTS[host]()}
    every = EvaluateEvery(evaluator, every=2)
    trainer = quiet(max_steps=2, max_epochs=-1, limit_val_batches=0, callbacks=[every], **settings)
    trainer.fit(module, datamodule=data)
    return evaluator.found
