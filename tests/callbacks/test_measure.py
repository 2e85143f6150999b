"""The mean negative log-likelihood that callbacks measure themselves (on two ranks: tests/distributed)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from tests.callbacks.runs import batch_of, fit, module_for, nll_of, rows
from unlearnkit.callbacks.measure import all_of, mean_nll, own_share
from unlearnkit.datamodules import Images, PairedDatasets
from unlearnkit.errors import ConfigurationError
from unlearnkit.models import ImageClassifier
from unlearnkit.modules import UnlearningModule
from unlearnkit.testing import ToyClassifier


class Inside(Callback):
    """Do something at the end of a round."""

    def __init__(self, what):
        self.what = what
        self.found = None

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.found = self.what(trainer, pl_module)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_all_samples_count_once_whatever_the_batches_are(tmp_path: Path, size: int) -> None:
    inside = Inside(
        lambda trainer, module: mean_nll(module, own_share(trainer, trainer.datamodule, "forget"))
    )
    module = module_for()
    data = PairedDatasets(rows("forget"), rows("retain"), batch_size=size)
    fit(module, 1, [inside], tmp_path, data=data)
    assert inside.found == pytest.approx(nll_of(module.model, "forget"), rel=1e-6)


def test_batches_of_ones_own(tmp_path: Path) -> None:
    batches = [batch_of("unseen"), batch_of("retain")]
    inside = Inside(lambda trainer, module: mean_nll(module, all_of(trainer, module, batches, "unseen")))
    module = module_for()
    fit(module, 1, [inside], tmp_path)
    expected = (9 * nll_of(module.model, "unseen") + 24 * nll_of(module.model, "retain")) / 33
    assert inside.found == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_weight_0_counts_nothing(tmp_path: Path) -> None:
    pairs = [(batch_of("unseen"), 1.0), (batch_of("retain"), 0.0)]
    inside = Inside(lambda trainer, module: mean_nll(module, pairs))
    module = module_for()
    fit(module, 1, [inside], tmp_path)
    assert inside.found == pytest.approx(nll_of(module.model, "unseen"), rel=1e-6)
    nothing = Inside(lambda trainer, module: mean_nll(module, pairs[1:]))
    fit(module_for(), 1, [nothing], tmp_path)
    assert math.isnan(nothing.found)


def test_no_batches_are_refused(tmp_path: Path) -> None:
    inside = Inside(lambda trainer, module: list(all_of(trainer, module, [], "unseen")))
    with pytest.raises(
        ConfigurationError, match="`unseen` must hold as many batches on every rank, and at least one"
    ):
        fit(module_for(), 1, [inside], tmp_path)


class Dropped(ToyClassifier):
    """A classifier with dropout."""

    def forward(self, batch):
        return self.layer(nn.functional.dropout(batch["inputs"], 0.5, self.training))


def test_dropout_is_off_while_measuring_and_on_again_after(tmp_path: Path) -> None:
    pairs = [(batch_of("unseen"), 1.0)]
    inside = Inside(lambda trainer, module: (mean_nll(module, pairs), mean_nll(module, pairs)))
    module = UnlearningModule(Dropped(seed=0), optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    fit(module, 1, [inside], tmp_path)
    first, second = inside.found
    assert first == second == pytest.approx(nll_of(module.model.eval(), "unseen"), rel=1e-6)


def test_what_is_measured_is_not_augmented(tmp_path: Path) -> None:
    """A data module augments while it trains; the number must be that of the images themselves."""
    data = Images("digits", per_class=20, augment="crop_flip", seed=1)
    module = UnlearningModule(
        ImageClassifier(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-3)
    )
    inside = Inside(
        lambda trainer, module: mean_nll(module, own_share(trainer, trainer.datamodule, "forget"))
    )
    fit(module, 1, [inside], tmp_path, data=data)
    with torch.no_grad():
        expected = module.model.eval().losses(data.collate(data.samples("forget"))).mean().item()
    assert inside.found == pytest.approx(expected, rel=1e-6)
