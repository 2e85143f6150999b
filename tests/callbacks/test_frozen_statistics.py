"""Running statistics of batch norm do not move while a model unlearns, and the layers train again afterwards."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from tests.callbacks.runs import fit, module_for
from unlearnkit.callbacks import FrozenStatistics
from unlearnkit.modules import UnlearningModule
from unlearnkit.testing import ToyClassifier

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Normalised(ToyClassifier):
    """A toy classifier with batch norm and dropout."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.1)

    def forward(self, batch):
        return self.layer(self.drop(self.norm(batch["inputs"])))


class Modes(Callback):
    """Write down who is in train mode during each round; disturb it after the second."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        model = module.model
        self.seen.append((model.training, model.norm.training, model.drop.training))
        if batch_idx == 1:
            model.train()


def make(model=None):
    return UnlearningModule(
        model or Normalised(), optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1)
    )


def statistics(module):
    return {name: value.clone() for name, value in module.model.norm.named_buffers()}


def test_statistics_stay_and_everything_else_trains(tmp_path: Path) -> None:
    module, modes = make(), Modes()
    before = statistics(module)
    scale = module.model.norm.weight.clone()
    fit(module, 4, [FrozenStatistics(), modes], tmp_path)
    assert modes.seen == [(True, False, True)] * 4
    assert all(torch.equal(value, before[name]) for name, value in statistics(module).items())
    assert not torch.equal(module.model.norm.weight, scale)
    assert module.model.norm.training


def test_without_it_they_drift(tmp_path: Path) -> None:
    module = make()
    before = statistics(module)
    fit(module, 4, [], tmp_path)
    assert not torch.equal(module.model.norm.running_mean, before["running_mean"])


def test_the_next_fit_without_it_trains_them(tmp_path: Path) -> None:
    module = make()
    fit(module, 2, [FrozenStatistics()], tmp_path)
    before = statistics(module)
    fit(module, 2, [], tmp_path)
    assert not torch.equal(module.model.norm.running_mean, before["running_mean"])


def test_an_error_puts_the_layers_back(tmp_path: Path) -> None:
    class Break(Callback):
        def on_train_batch_end(self, *_):
            raise ZeroDivisionError

    module = make()
    with pytest.raises(ZeroDivisionError):
        fit(module, 2, [FrozenStatistics(), Break()], tmp_path)
    assert module.model.norm.training


def test_nothing_to_do_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="unlearnkit"):
        fit(module_for(), 3, [FrozenStatistics()], tmp_path)
        fit(make(), 3, [FrozenStatistics()], tmp_path)
    found = [record.getMessage() for record in caplog.records if "FrozenStatistics" in record.getMessage()]
    assert found == [
        "FrozenStatistics has nothing to do: ToyClassifier has no layer with running statistics (batch norm)."
    ]
