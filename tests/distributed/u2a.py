"""Runs of U2A in one process and on each rank of two, with all that each outer round saw and chose."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from torch import Tensor

from tests.distributed.contract import HOSTS
from tests.modules.tiny import quiet
from unlearnkit.alignment import GrowingSelector, MarginalGains
from unlearnkit.alignment.gradient import summed_gradient
from unlearnkit.datamodules import PairedDatasets
from unlearnkit.errors import ConfigurationError
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import AscentNLL, WithDistance
from unlearnkit.strategies import U2A, FixedWeights
from unlearnkit.testing import ToyClassifier, toy_batch

FORGET, RETAIN = 11, 13
"""Samples of each side: neither is shared out evenly."""


class LikelihoodJ:
    """The mean log-likelihood of other samples; of rank 0 alone it is right."""

    def __init__(self) -> None:
        self.batch = toy_batch(9, seed=7, dtype=torch.float64)

    def value(self, model: Any) -> float:
        """Return J, wrong on all ranks but the first."""
        with torch.no_grad():
            return -float(model.losses(self.batch).mean()) + _rank()

    def gradient(self, model: Any) -> list[Tensor]:
        """Return its gradient, wrong likewise."""
        found = summed_gradient(model, [lambda: -model.losses(self.batch).mean()])
        return [part * (1.0 + _rank()) for part in found]


class Watched(U2A):
    """Keeps what each outer round saw and chose."""

    def begin_epoch(self, host: Any, candidates: Any) -> None:
        """Choose, and note where the model was, and with what weights it came there."""
        there, before = [p.detach().clone() for p in host.parameters], self.weights
        super().begin_epoch(host, candidates)
        if not hasattr(self, "seen"):
            self.seen = []
        self.seen.append(
            {
                "theta": there,
                "before": before,
                "gains": self.gains,
                "weights": self.weights,
                "indices": self.selection.indices,
            }
        )


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def module(curvature: Any = "identity") -> UnlearningModule:
    """Return a fresh module of a float64 classifier."""
    selector = GrowingSelector(3, 2, MarginalGains(0.5, curvature))
    return UnlearningModule(
        ToyClassifier(seed=3, dtype=torch.float64),
        WithDistance(AscentNLL(), 0.5),
        None,
        Watched(FixedWeights(0.6), selector, LikelihoodJ(), rounds=3, delta=-1e9),
        lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.5),
    )


def data() -> PairedDatasets:
    """Return float64 samples."""
    sides = [toy_batch(size, seed=seed, dtype=torch.float64) for seed, size in enumerate((FORGET, RETAIN))]
    pairs = [list(zip(side["inputs"], side["targets"].tolist(), strict=True)) for side in sides]
    found = PairedDatasets(*pairs, batch_size=5)
    found.batch_sizes["train"] = 3
    return found


def run(host: str | None, curvature: str = "identity") -> dict[str, Any]:
    """Train, and return what each outer round saw and chose, and how the run ended."""
    warnings.simplefilter("ignore")
    settings = {"devices": 1} if host is None else {"devices": 2, "strategy": HOSTS[host]()}
    made = module(curvature)
    quiet(max_epochs=50, **settings).fit(made, data())
    return {
        "seen": made.strategy.seen,
        "parameters": [p.detach().clone() for p in made.model.parameters()],
        "rounds": made.host.round,
        "history": made.strategy.history,
    }


def refusal(host: str) -> str:
    """Return the message with which a sharded model is refused."""
    try:
        run(host)
    except ConfigurationError as error:
        return str(error)
    raise AssertionError("it was not refused")
