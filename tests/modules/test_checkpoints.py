"""A checkpoint loads without running anything in it, and one that is not whole is refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.distributed.checkpoint import FileSystemWriter, save

from tests.modules.tiny import flat, loader, quiet
from tests.representatives import REPRESENTATIVES, tiny_data
from unlearnkit.cli import main
from unlearnkit.errors import ArtifactError
from unlearnkit.modules import FinetuningModule, UnlearningModule
from unlearnkit.modules.checkpoints import read_weights, require_whole_checkpoint
from unlearnkit.testing import ToyClassifier, toy_batch, toy_pair

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = [
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.limit_val_batches=0",
    "--trainer.callbacks+=ModelCheckpoint",
    "--trainer.callbacks.every_n_train_steps=1",
]
EVALUATED = [
    "--trainer.callbacks+=EvaluateEvery",
    "--trainer.callbacks.every=1",
    "--trainer.callbacks.evaluator=TOFUEvaluator",
    "--trainer.callbacks.evaluator.rows=2",
    "--trainer.callbacks.evaluator.max_new_tokens=2",
]


def run_folder(folder: Path, rounds: int = 3) -> list[Path]:
    """Return the checkpoints of a short run, the oldest first."""
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    quiet(callbacks=[keep], enable_checkpointing=True).fit(
        module, loader([toy_pair(seed=r) for r in range(rounds)])
    )
    found = [folder / f"step={r}.ckpt" for r in range(1, rounds + 1)]
    for age, path in enumerate(found):
        os.utime(path, (1000 + age, 1000 + age))
    return found


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def distributed(path: Path, source: Path) -> Path:
    """Write a checkpoint as Lightning writes it where parameters are sharded: a folder."""
    saved = torch.load(source, weights_only=True)
    path.mkdir()
    state = {"state_dict": saved.pop("state_dict"), "optimizer_0": saved.pop("optimizer_states")[0]}
    save(state, storage_writer=FileSystemWriter(path), no_dist=True)
    torch.save(saved, path / "meta.pt")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ArtifactError) as error:
        require_whole_checkpoint(path)
    assert str(error.value).startswith(f"`ckpt_path` must be a whole checkpoint. Found {str(path)!r}, ")
    return str(error.value)


# --------------------------------------------------------------------------- nothing is run on loading


@pytest.mark.parametrize("name", [*REPRESENTATIVES, "tofu/finetune.yaml"])
def test_checkpoints_of_every_kind_of_packaged_method_hold_data_alone(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluated = EVALUATED if name == "tofu/ngdiff_gen.yaml" else []
    assert main(["fit", "--config", name, *tiny_data(name), *SMALL, *evaluated]) == 0
    path = next(tmp_path.rglob("*.ckpt"))
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == 2
    assert set(saved) >= {"state_dict", "optimizer_states", "callbacks", "loops"}
    assert {"TOFU", "MUSE", "Images", "DiffusionImages", "Preferences"} & set(saved), "the split is kept"
    require_whole_checkpoint(path)
    if evaluated:
        path = next(value["path"] for key, value in saved["callbacks"].items() if "'every': 1" in key)
        assert [row["round"] for row in path] == [0, 1, 2]


# --------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_and_the_previous_one_named(tmp_path, part):
    *_, previous, last = run_folder(tmp_path)
    whole = last.read_bytes()
    last.write_bytes(whole[: int(part * len(whole))])
    message = refusal(last)
    assert ("an empty file" if part == 0 else f"truncated after {int(part * len(whole))} bytes") in message
    assert message.endswith(
        f"Use the previous checkpoint, {str(previous)!r}, the newest whole one in that folder."
    )


def test_one_missing_byte_is_seen(tmp_path):
    first = run_folder(tmp_path, 1)[0]
    first.write_bytes(first.read_bytes()[:-1])
    assert "That folder holds no other whole one: use a checkpoint from elsewhere" in refusal(first)


def test_a_flipped_byte_of_a_weight_is_seen_though_torch_reads_on(tmp_path):
    first = run_folder(tmp_path, 1)[0]
    content = bytearray(first.read_bytes())
    weight = torch.load(first, weights_only=True)["state_dict"]["model.layer.weight"]
    place = content.index(weight.numpy().tobytes()) + 2
    content[place] ^= 255
    first.write_bytes(content)
    changed = torch.load(first, weights_only=True)["state_dict"]["model.layer.weight"]
    assert not torch.equal(changed, weight)
    assert "damaged in its part" in refusal(first)


@pytest.mark.parametrize(
    ("content", "said"), [(b"step: 3\n", "which is no checkpoint at all"), (None, "where there is none")]
)
def test_another_file_or_none_is_refused(tmp_path, content, said):
    run_folder(tmp_path, 2)
    path = tmp_path / "other.ckpt"
    if content is not None:
        path.write_bytes(content)
    assert said in refusal(path)
    assert "step=2.ckpt" in refusal(path)


def test_a_broken_previous_checkpoint_is_not_recommended(tmp_path):
    first, second, third = run_folder(tmp_path)
    for path in (second, third):
        path.write_bytes(path.read_bytes()[:500])
    os.utime(second, (5000, 5000))
    assert f"Use the previous checkpoint, {str(first)!r}" in refusal(third)


def test_addresses_elsewhere_are_left_to_the_reader():
    require_whole_checkpoint("s3://bucket/run/last.ckpt")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "meta.pt").unlink(), "a folder without 'meta.pt': its save was cut short"),
        (lambda f: (f / ".metadata").unlink(), "a folder without '.metadata': its save was cut short"),
        (lambda f: (f / "meta.pt").write_bytes(b""), "whose 'meta.pt' is an empty file"),
        (lambda f: (f / ".metadata").write_bytes(b"\x80"), "whose '.metadata' is damaged"),
        (lambda f: next(f.glob("*.distcp")).unlink(), "without its shard '__0_0.distcp'"),
        (lambda f: os.truncate(next(f.glob("*.distcp")), 300), "'__0_0.distcp' is truncated (300 of "),
    ],
    ids=["no-meta", "no-metadata", "empty-meta", "damaged-metadata", "no-shard", "short-shard"],
)
def test_a_damaged_distributed_checkpoint_is_refused(tmp_path, harm, said):
    _, previous = run_folder(tmp_path, 2)
    folder = distributed(tmp_path / "sharded.ckpt", previous)
    require_whole_checkpoint(folder)
    harm(folder)
    assert said in refusal(folder)
    assert str(previous) in refusal(folder)


# ----------------------------------------------------------------------------------------- where it is asked


@pytest.mark.parametrize("entry", ["fit", "validate", "test", "predict"])
@pytest.mark.parametrize("kind", ["unlearning", "finetuning"])
def test_both_modules_refuse_it_before_they_load_anything(tmp_path, entry, kind):
    first = run_folder(tmp_path, 1)[0]
    first.write_bytes(first.read_bytes()[:-100])
    model = ToyClassifier(seed=7)
    module = UnlearningModule(model) if kind == "unlearning" else FinetuningModule(model)
    batches = [toy_pair()] if entry == "fit" and kind == "unlearning" else [toy_batch(3)]
    with pytest.raises(
        ArtifactError, match=r"`ckpt_path` must be a whole checkpoint\. Found '.*step=1\.ckpt'"
    ):
        getattr(quiet(), entry)(module, loader(batches), ckpt_path=first)
    assert torch.equal(flat(model), flat(ToyClassifier(seed=7)))


def test_a_whole_one_loads_twice_in_one_trainer(tmp_path):
    first = run_folder(tmp_path, 1)[0]
    trainer, module = quiet(logger=False), UnlearningModule(ToyClassifier(seed=7))
    for _ in range(2):
        trainer.validate(module, loader([toy_batch(3)]), ckpt_path=first, verbose=False)
    saved = torch.load(first, weights_only=True)["state_dict"]
    assert torch.equal(module.model.layer.weight, saved["model.layer.weight"])


def test_the_command_line_refuses_it_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config=tofu/gd.yaml", *tiny_data("tofu/"), *SMALL]) == 0
    path = next(tmp_path.rglob("*.ckpt"))
    path.write_bytes(path.read_bytes()[:1000])
    capsys.readouterr()
    assert main(["fit", "--config=tofu/gd.yaml", *tiny_data("tofu/"), *SMALL, f"--ckpt_path={path}"]) == 2
    assert (
        f"error: `ckpt_path` must be a whole checkpoint. Found '{path}', truncated after 1000"
        in capsys.readouterr().err
    )


# ---------------------------------------------------------------------------------------------- reading


def test_weights_are_read_from_a_file_and_from_a_folder_alike(tmp_path):
    first = run_folder(tmp_path, 1)[0]
    folder = distributed(tmp_path / "sharded.ckpt", first)
    one, other = read_weights(first), read_weights(folder)
    assert list(one) == ["model.layer.weight", "model.layer.bias"]
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="`run` must be a whole checkpoint"):
        read_weights(folder, "run")
