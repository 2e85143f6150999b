"""Runs that are stopped anywhere and go on from their last checkpoint, for ``test_interruption.py``.

``python -m tests.modules.interrupted FOLDER`` starts or resumes the run that is killed there.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR

from tests.modules.test_resume import data as tofu
from tests.modules.test_resume import model as noisy_lm
from tests.modules.tiny import quiet
from unlearnkit.callbacks import GeN
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NLL, NPO, AscentNLL, KLToReference
from unlearnkit.strategies import FixedWeights, LossNorm, NGDiff
from unlearnkit.testing import AlternatingStub, ReweightedStub, ToyClassifier, Weighted, toy_dataset

ROUNDS = 7
"""Rounds of the runs; an epoch has 3."""

KEYS = ("state_dict", "optimizer_states", "lr_schedulers", "unlearnkit", "global_step", "epoch")
"""What is compared of two checkpoints, besides the states of GeN and WeightMask and the counters of training."""


class Noisy(ToyClassifier):
    """A toy classifier whose inputs are dropped in train mode."""

    def forward(self, batch: Any) -> torch.Tensor:
        """Return logits [batch, classes]."""
        inputs = torch.nn.functional.dropout(batch["inputs"], 0.3, self.training)
        logits: torch.Tensor = self.layer(inputs)
        return logits


def pairs_of_sets() -> PairedDatasets:
    """Return data whose epochs end within a batch."""
    return PairedDatasets(toy_dataset(7, seed=1), toy_dataset(11, seed=2), batch_size=3, seed=4)


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, fused=True)


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def normalized() -> UnlearningModule:
    return UnlearningModule(
        Noisy(), NPO(), NLL(), NGDiff(), adamw, lambda o: CosineAnnealingLR(o, 10), clip=0.5, seed=5
    )


def alternating() -> UnlearningModule:
    strategy = AlternatingStub(forget_steps=5, retain_steps=3)
    return UnlearningModule(
        Noisy(), AscentNLL(), NLL(), strategy, momentum, lambda o: LambdaLR(o, lambda s: 0.9**s), seed=5
    )


def reweighted() -> UnlearningModule:
    forget = Weighted(NPO(), rows=18)
    strategy = ReweightedStub(FixedWeights(0.7), forget, every=2)
    return UnlearningModule(
        Noisy(), forget, NLL(), strategy, adamw, lambda o: OneCycleLR(o, 0.05, total_steps=ROUNDS), seed=5
    )


def language() -> UnlearningModule:
    return UnlearningModule(noisy_lm(), AscentNLL(), KLToReference(), LossNorm(), momentum, seed=5)


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes:
        module: Makes its module.
        data: Makes its data module.
        backwards: Backward passes in a round.
        applies: Optimizer steps in a round.
        gen: Rounds between GeN's fits, or None for no GeN.
        callbacks: Makes further callbacks.
    """

    module: Callable[[], UnlearningModule]
    data: Callable[[], Any]
    backwards: int
    applies: int
    gen: int | None = None
    callbacks: Callable[[], list[Callback]] = list


KINDS = {
    "ngdiff-gen-dropout-adamw-cosine": Kind(normalized, pairs_of_sets, 2, 1, gen=2),
    "alternating-dropout-momentum-lambda": Kind(alternating, pairs_of_sets, 8, 8),
    "reweighted-npo-dropout-adamw-onecycle": Kind(reweighted, pairs_of_sets, 1, 1, gen=3),
    "language-lossnorm-kl-dropout-momentum": Kind(language, lambda: tofu(epoch_length=3), 1, 1),
}


# ------------------------------------------------------------------------------------ stopping a run


class Stopped(Exception):
    """Stands for whatever ends a run."""


PLACES = ("before", "backward", "step", "before saving", "while saving", "after saving", "epoch end")


@dataclass(frozen=True)
class Stop:
    """Where a run is stopped.

    Attributes:
        place: ``before`` the round, after its n-th ``backward``, after its n-th ``step`` of the optimizer, at the
            end of the round ``before saving``, ``while saving``, ``after saving``, or at an ``epoch end``.
        round: In which round (at an epoch's end: not before it).
        number: n.
    """

    place: str
    round: int
    number: int = 1

    @classmethod
    def draw(cls, kind: Kind, rng: random.Random, first: int, place: str) -> Stop:
        """Draw the round, soon after the first that is still to do, and the number."""
        round_ = min(first + rng.choice((0, 0, 0, 1, 2)), ROUNDS - 1)
        if place == "epoch end" and round_ >= ROUNDS - ROUNDS % 3:
            place = "before"  # the last epoch is not finished
        most = {"backward": kind.backwards, "step": kind.applies}.get(place, 1)
        return cls(place, round_, rng.randint(1, most))


class Stopper(Callback):
    """Raise where a ``Stop`` says."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.calls = 0

    def reach(self, place: str, round_: int) -> None:
        """Raise where this is the place."""
        if self.stop.place == place and round_ >= self.stop.round:
            self.calls += 1
            if self.calls == self.stop.number:
                raise Stopped(str(self.stop))

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        """Put the places that have no hook into the host and the module."""
        host = module.host

        def after(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
            def worked(*args: Any, **kwargs: Any) -> Any:
                found = work(*args, **kwargs)
                self.reach(name, host.round)
                return found

            return worked

        host.backward = after("backward", host.backward)
        host.apply = after("step", host.apply)
        # Checkpoints are the last callback; the module's own hook comes after them.
        module.on_train_batch_end = lambda *_: self.reach("after saving", host.round - 1)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.reach("before", module.host.round)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.reach("before saving", module.host.round - 1)

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: Any) -> None:
        self.reach("while saving", module.host.round - 1)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.reach("epoch end", module.host.round - 1)


# ----------------------------------------------------------------------------------------- running


def newest(folder: Path) -> tuple[int, Path | None]:
    """Return the last round that has a checkpoint, and the checkpoint."""
    found = {int(path.stem.removeprefix("step=")): path for path in folder.glob("step=*.ckpt")}
    last = max(found, default=0)
    return last, found.get(last)


def go_on(kind: Kind, folder: Path, stop: Stop | None = None, rounds: int = ROUNDS) -> UnlearningModule:
    """Start the run, or resume it from its last checkpoint, with a checkpoint each round."""
    callbacks: list[Any] = kind.callbacks()
    callbacks += [] if kind.gen is None else [GeN(every=kind.gen)]
    callbacks += [] if stop is None else [Stopper(stop)]
    callbacks.append(ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}"))
    module = kind.module()
    torch.manual_seed(random.Random(str(stop)).randrange(2**31))  # whatever the process before has left
    trainer = quiet(callbacks=callbacks, enable_checkpointing=True, max_steps=rounds, max_epochs=-1)
    trainer.fit(module, kind.data(), ckpt_path=newest(folder)[1])
    return module


def difference(found: Path, expected: Path) -> str | None:
    """Name the first thing that two checkpoints of one round do not have in common, bit by bit."""
    one, other = (_compared(torch.load(path, weights_only=True)) for path in (found, expected))
    return _difference(one, other, "checkpoint")


def _compared(saved: dict[str, Any]) -> dict[str, Any]:
    # Validation's counters differ: Lightning clears them only in the process that validated.
    counters = {name: value for name, value in saved["loops"]["fit_loop"].items() if "val_loop" not in name}
    acting = {name: saved["callbacks"].get(name) for name in ("GeN", "WeightMask")}
    return {key: saved[key] for key in KEYS} | acting | {"counters": counters}


def _difference(one: Any, other: Any, place: str) -> str | None:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return None if one.dtype == other.dtype and torch.equal(one, other) else place
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            return f"{place} {sorted(set(map(str, one)) ^ set(map(str, other)))}"
        parts = ((one[key], other[key], f"{place}.{key}") for key in one)
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return place
        parts = ((a, b, f"{place}[{i}]") for i, (a, b) in enumerate(zip(one, other, strict=True)))
    else:
        return None if one == other else f"{place}: {one!r}, {other!r}"
    return next((found for part in parts if (found := _difference(*part)) is not None), None)


KILLED = "alternating-dropout-momentum-lambda"
KILLED_ROUNDS = 60

if __name__ == "__main__":
    torch.set_num_threads(1)
    go_on(KINDS[KILLED], Path(sys.argv[1]), rounds=KILLED_ROUNDS)
