"""Both modules: validation and test log the mean over units of each evaluation set, under its name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, DistributedSampler

from tests.modules.tiny import VOCABULARY, Tokens, loader, quiet, tiny_lm, tokens
from unlearnkit.modules import FinetuningModule, UnlearningModule
from unlearnkit.modules.evaluated import ROOM

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


class Spelling(Tokens):
    """A tokenizer that spells ids out."""

    def batch_decode(self, ids, skip_special_tokens):
        return [" ".join(map(str, new)) for new in ids]


class Answering(LightningDataModule):
    """Some batches to answer."""

    tokenizer = Spelling(VOCABULARY)

    def __init__(self, batches: list[Any]) -> None:
        super().__init__()
        self.batches = batches

    def predict_dataloader(self):
        return loader(self.batches)


def test_a_predicted_answer_does_not_hang_on_the_rows_that_share_its_batch():
    batch = tokens(4, 3)
    alone = [{name: value[row : row + 1] for name, value in batch.items()} for row in range(4)]
    together, apart = (
        [row for found in quiet().predict(FinetuningModule(tiny_lm()), Answering(rows)) for row in found]
        for rows in ([batch], alone)
    )
    assert together == apart
    lengths = [len(row["answer"].split()) for row in together]
    limits = ((batch["labels"] >= 0).sum(-1) + ROOM).tolist()
    assert len(set(limits)) > 1
    assert all(length <= limit for length, limit in zip(lengths, limits, strict=True))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_rows_that_fill_up_weigh_nothing(batch_size):
    rows = [{name: value[0] for name, value in tokens(1, seed).items()} for seed in range(3)]
    sampler = DistributedSampler(rows, 2, 1, shuffle=False)  # row 1, and row 0 again
    found = quiet().validate(
        FinetuningModule(tiny_lm()), DataLoader(rows, batch_size, sampler=sampler), verbose=False
    )
    alone = quiet().validate(FinetuningModule(tiny_lm()), DataLoader(rows[1:2]), verbose=False)
    assert found[0]["val/0_loss"] == pytest.approx(alone[0]["val/0_loss"], rel=1e-6)
