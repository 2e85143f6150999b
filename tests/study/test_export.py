"""export: plain folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unlearnkit.errors import ArtifactError, ConfigurationError
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
