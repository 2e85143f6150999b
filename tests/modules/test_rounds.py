"""The unit is the round: eight optimizer steps in each of them count once, for everybody who counts."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.optim.lr_scheduler import LambdaLR

from tests.modules.tiny import loader, quiet
from unlearnkit.callbacks import GeN
from unlearnkit.errors import ConfigurationError
from unlearnkit.modules import UnlearningModule
from unlearnkit.testing.stub_strategies import AlternatingStub
from unlearnkit.testing.toys import ToyClassifier, toy_pair


class CountedSGD(torch.optim.SGD):
    """Count the steps taken."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        return super().step(closure)


def alternating(**settings) -> UnlearningModule:
    """Return a module that makes five forget and three retain steps in each round."""
    return UnlearningModule(
        ToyClassifier(seed=0),
        strategy=AlternatingStub(5, 3),
        optimizer=lambda parameters: CountedSGD(parameters, lr=1e-3),
        **settings,
    )


def batches(rounds: int) -> list:
    return [toy_pair(seed=r) for r in range(rounds)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_everybody_counts_rounds(tmp_path: Path) -> None:
    """max_steps, checkpoint names, loggers, the schedule and GeN's fits."""
    module = alternating(scheduler=lambda optimizer: LambdaLR(optimizer, lambda step: 0.5**step))
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    logger = CSVLogger(tmp_path, name="", version="logs")
    gen = GeN(every=3)
    trainer = quiet(
        callbacks=[keep, gen],
        enable_checkpointing=True,
        logger=logger,
        log_every_n_steps=2,
        max_steps=7,
        max_epochs=-1,
    )
    trainer.fit(module, loader(batches(20)))
    assert trainer.global_step == module.host.round == 7
    assert module.trainer.optimizers[0].steps == 7 * 8
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == [f"step={n}.ckpt" for n in (2, 4, 6)]
    assert torch.load(tmp_path / "step=4.ckpt", weights_only=True)["global_step"] == 4
    with open(tmp_path / "logs" / "metrics.csv") as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row["loss/retain"]]
    assert logged == [1, 3, 5]
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(1e-3 * 0.5**7)
    assert gen.core.fits == 3  # in rounds 0, 3 and 6


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_odd_intervals_are_not_missed(tmp_path: Path) -> None:
    """Were a round to count as eight steps, no multiple of three would be hit before the third round."""
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1, filename="{step}")
    quiet(callbacks=[keep], enable_checkpointing=True).fit(alternating(), loader(batches(4)))
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["step=3.ckpt"]


def test_a_checkpoint_by_time_is_refused(tmp_path: Path) -> None:
    """Lightning's callback leaves it out in manual optimization, and would write nothing without a word."""
    keep = ModelCheckpoint(tmp_path, train_time_interval=timedelta(minutes=5))
    with pytest.raises(
        ConfigurationError, match=r"`train_time_interval` of ModelCheckpoint .* every_n_train_steps"
    ):
        quiet(callbacks=[keep], enable_checkpointing=True).fit(alternating(), loader(batches(2)))
