"""A loss that diverges stops the run, and the checkpoint it names is a good one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import NonFiniteError
from unlearnkit.models import WithCriterion
from unlearnkit.modules import UnlearningModule
from unlearnkit.testing import toy_dataset


@pytest.mark.parametrize("breaks_after", [1, 3])
def test_the_named_checkpoint_is_from_before_the_step_that_ruined_the_model(
    tmp_path: Path, breaks_after: int
) -> None:
    module = UnlearningModule(
        WithCriterion(nn.Linear(5, 3)),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
        scheduler=lambda optimizer: LambdaLR(optimizer, lambda step: 1.0 if step < breaks_after else 3e40),
    )
    trainer = Trainer(
        max_steps=9, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(tmp_path, every_n_train_steps=1)],
    )  # fmt: skip
    with pytest.raises(NonFiniteError, match="loss must stay finite") as caught:
        trainer.fit(module, datamodule=PairedDatasets(toy_dataset(8), toy_dataset(24, seed=1), batch_size=4))
    named = re.search(r"kept: (\S+\.ckpt)\.", str(caught.value))
    assert named is not None
    assert list(tmp_path.iterdir()) == [Path(named[1])]
    saved = torch.load(named[1], weights_only=True)
    assert saved["global_step"] == breaks_after
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_without_a_good_checkpoint_none_is_named(tmp_path: Path) -> None:
    module = UnlearningModule(
        WithCriterion(nn.Linear(5, 3)), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=3e38)
    )
    trainer = Trainer(
        max_steps=9, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(tmp_path, every_n_train_steps=1)],
    )  # fmt: skip
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(module, datamodule=PairedDatasets(toy_dataset(8), toy_dataset(24, seed=1), batch_size=4))
    assert "kept" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
