"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seed the global generators, so that a test gives the same result alone and among others."""
    import random

    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    return 0


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real data sets; skip where there is none."""
    folder = os.environ.get("UNLEARNKIT_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"UNLEARNKIT_TEST_DATA must name the folder of real data sets. Found {folder!r}.")
    return Path(folder)


TINY = """
name: tiny
data:
  class_path: TOFU
  init_args: {forget: forget10, authors: 8, questions: 4, data_seed: 0, vocab_size: 400, train_batch_size: 8}
model:
  class_path: CausalLM
  init_args: {hidden_size: 32, layers: 1, heads: 2, max_length: 128}
evaluator:
  class_path: TOFUEvaluator
  init_args: {max_new_tokens: 8}
methods: [gdiff, ngdiff_gen]
seeds: [0]
rounds: 3
finetune: {epochs: 2}
path: {every: 2, rows: 4}
accelerator: cpu
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the YAML of a comparison of seconds."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the folder and the results of the tiny comparison."""
    from unlearnkit.study import compare

    out = tmp_path_factory.mktemp("tiny") / "run"
    return out, compare(str(tiny_config), out=str(out))
