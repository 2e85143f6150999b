"""Cached log-probabilities give the bits of the live reference, and say where they cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tests.modules.test_resume import adamw, data, model
from tests.modules.tiny import flat, loader, pairs, quiet
from unlearnkit.callbacks import GeN
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ConfigurationError
from unlearnkit.modules import UnlearningModule
from unlearnkit.modules.cached_reference import CachedReference
from unlearnkit.objectives import DPO, NPO, KLToReference
from unlearnkit.strategies import FixedWeights
from unlearnkit.testing import ToyClassifier, toy_batch, toy_dataset

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ROUNDS = 9
"""Rounds of 4 an epoch: samples come back, in other batches."""


def fit(
    cached: bool, folder: Path | None = None, resume: Path | None = None, **changes: Any
) -> UnlearningModule:
    keep = (
        [ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")] if folder else []
    )
    settings: dict[str, Any] = {"forget": NPO(), "optimizer": adamw, "seed": 5}
    module = UnlearningModule(model(), **settings, cache_reference=cached)
    options: dict[str, Any] = {"max_steps": ROUNDS, "max_epochs": -1, "enable_checkpointing": bool(folder)}
    callbacks = [*changes.pop("callbacks", []), *keep]
    quiet(**(options | changes), callbacks=callbacks).fit(module, data(), ckpt_path=resume)
    return module


def test_a_run_with_the_cache_ends_with_the_bits_of_one_without():
    live, cached = fit(False), fit(True)
    assert isinstance(live.reference(), nn.Module)
    assert isinstance(cached.reference(), CachedReference)
    assert torch.equal(flat(live.model), flat(cached.model))
    assert not torch.equal(flat(live.model), flat(model()))


def test_padding_changes_the_last_bit_which_is_why_shapes_are_kept_apart():
    """Else one number a sample would do."""
    tofu, target = data(), model(0.0).eval()
    tofu.setup("fit")
    samples = tofu.samples("retain")
    whole = tofu.collate(samples)
    with torch.no_grad():
        together = target.losses(whole)
        alone = torch.cat([target.losses(tofu.collate([sample])) for sample in samples])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=0)
    assert not torch.equal(together, alone)


def test_the_same_bits_under_mixed_precision_and_with_gen():
    for changes in ({"precision": "bf16-mixed"}, {"precision": "bf16-true"}):
        assert torch.equal(flat(fit(False, **changes).model), flat(fit(True, **changes).model))
    with_gen = [fit(cached, callbacks=[GeN(every=2)]) for cached in (False, True)]
    assert torch.equal(flat(with_gen[0].model), flat(with_gen[1].model))
    assert with_gen[0].host.lr_scale == with_gen[1].host.lr_scale != 1.0


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_resumed_run_with_the_cache_ends_with_the_same_bits(tmp_path, stop):
    whole = fit(True, folder=tmp_path)
    resumed = fit(True, resume=tmp_path / f"step={stop}.ckpt")
    assert torch.equal(flat(whole.model), flat(resumed.model))


def test_the_model_is_asked_about_each_shape_of_a_sample_once():
    class Counting(ToyClassifier):
        rows = 0

        def losses(self, batch):
            Counting.rows += len(batch["index"])
            return super().losses(batch)

    cache, target = CachedReference(), Counting()
    cache.add(target, toy_batch(8))
    cache.add(target, {name: value[2:5] for name, value in toy_batch(8).items()})
    assert Counting.rows == 8
    cache.add(target, toy_batch(9))
    assert Counting.rows == 17


def test_sides_of_any_data_share_one_table():
    """Paired data sets count the retain samples after the forget ones."""
    paired = PairedDatasets(toy_dataset(6, seed=1), toy_dataset(9, seed=2), batch_size=4)
    found = []
    for cached in (False, True):
        module = UnlearningModule(
            ToyClassifier(), NPO(), NPO(beta=0.5), FixedWeights(0.5), adamw, cache_reference=cached
        )
        quiet(max_epochs=3).fit(module, paired)
        found.append(flat(module.model))
    assert torch.equal(*found)


@pytest.mark.parametrize("per", ["round", "row"])
def test_second_answers_are_kept_by_row_and_choice(per):
    """DPO asks about a refusal that is another one in each round, or always the row's one."""
    found = []
    for cached in (False, True):
        module = UnlearningModule(model(), DPO(), optimizer=adamw, seed=5, cache_reference=cached)
        quiet(max_steps=ROUNDS, max_epochs=-1).fit(module, data(alternatives_per=per))
        found.append(flat(module.model))
    assert isinstance(module.reference(), CachedReference)
    assert torch.equal(*found)
    assert not torch.equal(found[0], flat(model()))


def test_an_answer_is_that_of_its_choice():
    cache, target = CachedReference(), model(0.0).eval()
    batch = pairs(1)[0]["retain"]
    one, other = (batch | {"choice": torch.full((4,), choice)} for choice in (1, 7))
    other["input_ids"] = (other["input_ids"] + 1) % 23
    other["labels"] = torch.where(other["labels"] >= 0, other["input_ids"], -100)
    for second in (one, other):
        cache.add(target, batch | {"alternative": second})
    for second in (batch, one, other):
        assert torch.equal(cache.losses(second), target.losses(second))
    with pytest.raises(ConfigurationError, match="Found sample 0, which is in none"):
        cache.losses(batch | {"choice": torch.full((4,), 2)})


def test_counts_are_those_of_the_model():
    cache, batch = CachedReference(), pairs(1)[0]["retain"]
    target = model(0.0).eval()
    cache.add(target, batch)
    assert torch.equal(cache.counts(batch), target.counts(batch))


# ------------------------------------------------------------------------------------- what is refused


def test_a_sample_or_a_shape_that_was_not_asked_about_is_refused():
    cache = CachedReference()
    cache.add(ToyClassifier(), toy_batch(3))
    with pytest.raises(
        ConfigurationError, match=r"Found sample 3, which is in none of the data module's rounds"
    ):
        cache.losses(toy_batch(4))
    with pytest.raises(ConfigurationError, match=r"Found a batch of shape .*'inputs': \(2,\)"):
        cache.losses(toy_batch(3, features=2))


def test_a_divergence_is_refused():
    with pytest.raises(ConfigurationError, match=r"the KL divergence needs the reference model itself"):
        CachedReference().units({})
    with pytest.raises(ConfigurationError, match=r"`cache_reference` must be off"):
        KLToReference(parity="open-unlearning")(model(), pairs(1)[0]["retain"], CachedReference)
    module = UnlearningModule(model(), NPO(), KLToReference(), optimizer=adamw, cache_reference=True)
    with pytest.raises(ConfigurationError, match=r"Set cache_reference=false\."):
        quiet(max_steps=1, max_epochs=-1).fit(module, data())


def test_batches_that_cannot_be_told_in_advance_are_refused_at_once():
    module = UnlearningModule(model(), NPO(), optimizer=adamw, cache_reference=True)
    with pytest.raises(
        ConfigurationError, match=r"must come with a data module of unlearnkit.*Found NoneType"
    ):
        quiet().fit(module, loader(pairs(1)))
    with pytest.raises(ConfigurationError, match=r"`max_steps` must be given with `cache_reference`"):
        fit(True, max_steps=-1)


def test_without_a_side_that_compares_nothing_is_asked_for():
    module = UnlearningModule(model(), optimizer=adamw, cache_reference=True)
    quiet(max_steps=1, max_epochs=-1).fit(module, loader(pairs(1)))
    assert module.host.round == 1
