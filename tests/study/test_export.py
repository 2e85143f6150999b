"""export: plain folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.modules.test_checkpoints import SMALL, distributed
from tests.representatives import tiny_data
from unlearnkit.cli import main
from unlearnkit.errors import ArtifactError, ConfigurationError
from unlearnkit.models import ImageClassifier
from unlearnkit.study import export_run
from unlearnkit.study.export import newest_checkpoint


def test_a_method_of_compare_becomes_a_from_pretrained_folder(
    tiny_run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = export_run(tiny_run[0] / "seed0" / "gdiff", tmp_path / "out")
    network = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert (out / "model.safetensors").exists()
    ids = torch.tensor([tokenizer("Question: Who?")["input_ids"]])
    assert network(input_ids=ids).logits.shape[-1] == len(tokenizer)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`out` must be a new folder"):
        export_run(tmp_path, tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="Found neither"):
        newest_checkpoint(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_checkpoint_is_exported_from_its_file_and_from_a_distributed_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config=tofu/gd.yaml", *tiny_data("tofu/"), *SMALL]) == 0
    run = tmp_path / "runs" / "tofu" / "gd" / "version_0"
    file = newest_checkpoint(run)
    folder = distributed(file.parent / "sharded.ckpt", file)
    sources = {"run": run, "file": file, "folder": folder}
    found = {
        name: load_file(export_run(source, tmp_path / name) / "model.safetensors")
        for name, source in sources.items()
    }
    saved = torch.load(file, weights_only=True)["state_dict"]
    for name, weights in found.items():
        assert (tmp_path / name / "tokenizer.json").exists()
        assert weights
        assert all(torch.equal(value, saved[f"model.network.{key}"]) for key, value in weights.items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_checkpoint_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(
        ArtifactError, match=r"`run` must be a whole checkpoint\. Found '.*last\.ckpt', truncated after 16"
    ):
        export_run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_classifier_is_exported_with_what_its_images_are_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config=digits/ft.yaml", *tiny_data("digits/"), *SMALL]) == 0
    run = tmp_path / "runs" / "digits" / "ft" / "version_0"
    model = ImageClassifier(str(export_run(run, tmp_path / "out")))
    assert (model.traits.classes, model.traits.channels, model.traits.height) == (10, 1, 8)
    saved = torch.load(newest_checkpoint(run), weights_only=True)["state_dict"]
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, saved[f"model.{name}"])
    (run / "traits.json").write_text('{"classes": 10, "channels": 1}')
    with pytest.raises(
        ArtifactError, match=r"traits.json` must hold the numbers classes, channels and height"
    ):
        export_run(run, tmp_path / "again")
    assert not (tmp_path / "again").exists()
