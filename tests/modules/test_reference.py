"""The reference model is the target as it was: rebuilt on each run, known again by its fingerprint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tests.modules.test_resume import data
from tests.modules.tiny import flat, loader, pairs, quiet, tiny_lm
from unlearnkit.datamodules import Images
from unlearnkit.errors import MismatchError
from unlearnkit.models import CausalLM, ImageClassifier, LoRA, image_classifier
from unlearnkit.models.image_network import SmallNet
from unlearnkit.modules import UnlearningModule
from unlearnkit.modules.reference import TargetReference, fingerprint, require_same_target
from unlearnkit.objectives import NLL, NPO, KLToReference

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def lora_lm(seed: int = 0) -> CausalLM:
    """Return a tiny model with adapters, built in the trainer's setup."""
    return CausalLM(hidden_size=16, layers=1, heads=2, max_length=128, seed=seed, lora=LoRA(rank=2))


class Seen(Callback):
    """Keep what the reference is when the first round begins."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.reference = module.reference()


# ------------------------------------------------------------------------------------ fingerprint


def test_fingerprint_depends_on_names_types_shapes_and_bytes():
    base = {"a": torch.arange(6.0), "b": torch.zeros(2, dtype=torch.int64)}
    others = [
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"].reshape(2, 3), "b": base["b"]},
        {"a": base["a"].to(torch.bfloat16), "b": base["b"]},
        {"a": base["a"] + torch.eye(6)[5] * 1e-6, "b": base["b"]},
        {"a": base["a"]},
    ]
    found = [fingerprint(one.items()) for one in (base, *others)]
    assert len(set(found)) == 6
    assert fingerprint({k: v.clone() for k, v in base.items()}.items()) == found[0]
    assert all(len(one) == 16 for one in found)


def test_fingerprint_reads_any_layout_and_passes_over_what_is_no_tensor():
    matrix = torch.arange(6.0).reshape(2, 3)
    assert fingerprint([("a", matrix.t().contiguous().t())]) == fingerprint([("a", matrix)])
    assert fingerprint([("a", torch.tensor(3.0)), ("extra", {"x": 1})]) == fingerprint(
        [("a", torch.tensor(3.0))]
    )
    assert len(fingerprint([("empty", torch.zeros(0, 4))])) == 16


def test_a_copy_is_frozen_and_independent():
    model = tiny_lm(dropout=0.2)
    made = TargetReference.of(model)
    assert not made.model.training
    assert not any(p.requires_grad for p in made.model.parameters())
    assert made.fingerprint == fingerprint(model.state_dict().items())
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    assert torch.equal(flat(made.model), flat(tiny_lm()))
    assert model.training


def test_another_target_is_refused_with_the_remedy():
    require_same_target("abcd", "abcd")
    with pytest.raises(MismatchError) as error:
        require_same_target("abcd", "0123")
    assert "`model` must be the target that the resumed run unlearned from (reference 0123)" in str(
        error.value
    )
    assert "Found another one (reference abcd)" in str(error.value)
    assert str(error.value).endswith("or start without the checkpoint.")


# ------------------------------------------------------------------------------------- on a resume


def fit(
    model: Any, folder: Path | None = None, resume: Path | None = None, **settings: Any
) -> UnlearningModule:
    keep = (
        [ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")] if folder else []
    )
    module = UnlearningModule(model, **({"forget": NPO(), "optimizer": sgd} | settings))
    trainer = quiet(
        callbacks=keep, enable_checkpointing=bool(folder), max_steps=3 if resume else 2, max_epochs=-1
    )
    trainer.fit(module, data(), ckpt_path=resume)
    return module


def built(seed: int = 0) -> CausalLM:
    return CausalLM(hidden_size=16, layers=1, heads=2, max_length=128, seed=seed)


@pytest.mark.parametrize("make", [built, lora_lm], ids=["copy", "adapter"])
def test_a_resume_with_another_target_is_refused_before_anything_is_loaded(tmp_path, make):
    fit(make(), tmp_path)
    saved = torch.load(tmp_path / "step=2.ckpt", weights_only=True)["unlearnkit"]["reference"]
    model = make(seed=1)
    with pytest.raises(MismatchError, match=rf"reference {saved}"):
        fit(model, resume=tmp_path / "step=2.ckpt")
    model_alone = make(seed=1)
    tofu = data()
    tofu.setup("fit")
    model_alone.materialize(tofu.tokenizer)
    assert torch.equal(flat(model), flat(model_alone))
    assert fit(make(), resume=tmp_path / "step=2.ckpt").host.round == 3


def test_a_checkpoint_of_before_the_fingerprint_still_loads(tmp_path):
    fit(built(), tmp_path)
    old = torch.load(tmp_path / "step=2.ckpt", weights_only=True)
    del old["unlearnkit"]["reference"]
    torch.save(old, tmp_path / "old.ckpt")
    assert fit(built(seed=1), resume=tmp_path / "old.ckpt").host.round == 3


def test_a_run_that_compares_with_nothing_resumes_from_any_target(tmp_path):
    """Its checkpoint names no reference: the weights in it are all that matters."""
    fit(built(), tmp_path, forget=None)
    assert torch.load(tmp_path / "step=2.ckpt", weights_only=True)["unlearnkit"]["reference"] is None
    assert fit(built(seed=1), resume=tmp_path / "step=2.ckpt", forget=None).host.round == 3


def test_a_run_that_needs_no_reference_builds_and_hashes_nothing(monkeypatch):
    def never(*_: Any) -> None:
        raise AssertionError("a reference was built")

    monkeypatch.setattr(TargetReference, "of", never)
    quiet(max_steps=1).fit(UnlearningModule(tiny_lm(), optimizer=sgd), loader(pairs(1)))
    with pytest.raises(AssertionError, match="a reference was built"):
        quiet(max_steps=1).fit(UnlearningModule(tiny_lm(), NPO(), optimizer=sgd), loader(pairs(1)))


# ------------------------------------------------------------------------------ adapters, precision


def test_with_an_adapter_the_reference_is_the_model_itself_without_it():
    watch, model = Seen(), lora_lm()
    module = UnlearningModule(model, NPO(), KLToReference(), optimizer=sgd)
    quiet(callbacks=[watch], max_steps=3, max_epochs=-1).fit(module, data())
    assert not isinstance(watch.reference, nn.Module)
    tofu = data()
    tofu.setup("fit")
    batch, plain = tofu.batch(0)["retain"], built()
    plain.materialize(tofu.tokenizer)
    with torch.no_grad():
        assert torch.equal(watch.reference.losses(batch), plain.eval().losses(batch))
        assert not torch.equal(model.losses(batch), plain.losses(batch))


def test_the_reference_gets_the_precision_of_the_model():
    for precision, dtype in (
        ("bf16-true", torch.bfloat16),
        ("64-true", torch.float64),
        ("bf16-mixed", torch.float32),
    ):
        watch, module = Seen(), UnlearningModule(tiny_lm(), NPO(), NLL(), optimizer=sgd)
        quiet(callbacks=[watch], precision=precision, max_steps=1).fit(module, loader(pairs(1)))
        assert {p.dtype for p in watch.reference.parameters()} == {dtype}
        assert {p.dtype for p in module.model.parameters()} == {dtype}


# --------------------------------------------------------------------- a target that is none


def test_a_model_of_random_weights_is_remarked_on_but_not_when_it_is_resumed(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "unlearnkit"):
        fit(built(), tmp_path)
    assert "just built with random weights: it has nothing to forget" in caplog.text
    assert "`unlearnkit fit --config tofu/finetune.yaml`, then `unlearnkit export`" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "unlearnkit"):
        fit(built(), resume=tmp_path / "step=2.ckpt")
    assert "nothing to forget" not in caplog.text


@pytest.mark.parametrize(
    ("kept", "words"), [(True, "`unlearnkit fit --config digits/finetune.yaml`"), (False, "FinetuningModule")]
)
def test_the_remark_names_how_these_data_make_a_target(kept, words, monkeypatch, caplog):
    images = Images("digits", per_class=4)
    if not kept:  # a data module of one's own
        monkeypatch.setattr(Images, "target_recipe", None)
    module = UnlearningModule(ImageClassifier(), optimizer=sgd)
    with caplog.at_level(logging.WARNING, "unlearnkit"):
        quiet(max_steps=1).fit(module, datamodule=images)
    (said,) = [record.message for record in caplog.records if "nothing to forget" in record.message]
    assert words in said and "tofu" not in said and "with random weights" in said


def test_of_a_pretrained_network_the_last_layer_alone_is_random(monkeypatch, caplog):
    monkeypatch.setattr(image_classifier, "build_network", lambda *given: SmallNet(given[1], given[2]))
    model = ImageClassifier(network="resnet18", pretrained=True)
    with caplog.at_level(logging.WARNING, "unlearnkit"):
        quiet(max_steps=1).fit(UnlearningModule(model, optimizer=sgd), datamodule=Images(per_class=4))
    assert "just built with a random last layer: it has nothing to forget" in caplog.text


# ------------------------------------------------------------------------------- trained adapters


def test_an_adapter_that_was_trained_already_belongs_to_the_target():
    """Its model without adapter is what came before the target, and would be the wrong thing to compare with."""
    model = tiny_lm(lora=LoRA(rank=2))
    assert TargetReference.of(model).model is not None
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    batch = pairs(1)[0]["forget"]
    reference = TargetReference.of(model)
    assert isinstance(reference.model, nn.Module)
    assert not any(p.requires_grad for p in reference.model.parameters())
    with torch.no_grad():
        assert torch.equal(reference.model.losses(batch), model.eval().losses(batch))
        assert not torch.equal(reference.model.losses(batch), model.without_adapter().losses(batch))
        value = NPO(beta=0.1)(model, batch, lambda: reference.model).sums
    torch.testing.assert_close(value, torch.full_like(value, 20 * 0.6931472))
