"""Both modules: validation and test log the mean over units of each evaluation set, under its name."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningDataModule

from tests.modules.tiny import loader, quiet, tiny_lm, tokens
from unlearnkit.modules import FinetuningModule, UnlearningModule

SETS = {"forget": [tokens(2, 0), tokens(5, 1)], "retain": [tokens(3, 2)]}


class Named(LightningDataModule):
    evaluation_names = tuple(SETS)

    def val_dataloader(self):
        return [loader(batches) for batches in SETS.values()]

    test_dataloader = val_dataloader


@pytest.mark.parametrize("kind", [FinetuningModule, UnlearningModule])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_each_set_has_its_token_mean(kind, stage):
    model = tiny_lm()
    trainer = quiet()
    run = trainer.validate if stage == "val" else trainer.test
    found = run(kind(model), datamodule=Named(), verbose=False)
    logged = {name: value for part in found for name, value in part.items()}
    with torch.no_grad():
        for name, batches in SETS.items():
            total = sum(model.losses(batch).sum().item() for batch in batches)
            units = sum(model.counts(batch).sum().item() for batch in batches)
            assert logged[f"{stage}/{name}_loss"] == pytest.approx(total / units, rel=1e-5)


def test_sets_without_names_are_numbered():
    found = quiet().validate(FinetuningModule(tiny_lm()), loader(SETS["retain"]), verbose=False)
    assert set(found[0]) == {"val/0_loss"}


def test_a_batch_without_scored_units_weighs_nothing():
    empty = tokens(2, 5)
    empty["labels"] = torch.full_like(empty["labels"], -100)
    model = tiny_lm()
    found = quiet().validate(FinetuningModule(model), loader([tokens(3, 2), empty]), verbose=False)
    alone = quiet().validate(FinetuningModule(model), loader([tokens(3, 2)]), verbose=False)
    assert found[0]["val/0_loss"] == pytest.approx(alone[0]["val/0_loss"], rel=1e-6)


@pytest.mark.parametrize("kind", [FinetuningModule, UnlearningModule])
def test_both_modules_predict(kind):
    outputs = quiet().predict(kind(tiny_lm()), loader([tokens(2, 0), tokens(3, 1)]))
    assert [len(output) for output in outputs] == [2, 3]
