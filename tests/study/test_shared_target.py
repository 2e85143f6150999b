"""compare with one target for all seeds, as paper 002's protocol has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.study import compare
from unlearnkit.study.provenance import caption

CONFIG = """
benchmark: digits
data:
  class_path: Images
  init_args: {source: digits, per_class: 8, forget: {fraction: 0.2}, retain_batch_size: 16}
model: {class_path: ImageClassifier}
evaluator: {class_path: ClassificationEvaluator}
methods: [rl]
rounds: 2
finetune: {epochs: 1, optimizer: sgd, lr: 0.01}
path: {every: 2, rows: 20}
accelerator: cpu
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "shared.yaml"
    path.write_text(CONFIG)
    return path


def test_seeds_share_target_and_reference_and_differ_in_unlearning(config: Path, tmp_path: Path) -> None:
    results = compare(str(config), out=str(tmp_path), seeds=[0, 1], target_seed=0)
    folders = {f"{path.parent.name}/{path.name}" for path in tmp_path.glob("seed*/*")}
    assert folders == {"seed0/target", "seed0/retrained", "seed0/rl", "seed1/rl"}
    rows: dict[str, list[dict[str, Any]]] = {"target": [], "retrained": [], "rl": []}
    for row in results["rows"]:
        rows[row["method"]].append(row)
    assert all([row["seed"] for row in found] == [0, 1] for found in rows.values())
    for role in ("target", "retrained"):
        assert rows[role][0]["summary"] == rows[role][1]["summary"]
    drawn = [row["path"][-1]["retain_loss"] for row in rows["rl"]]
    assert drawn[0] != drawn[1]
    assert "seeds: 0, 1, all from the target of seed 0" in caption(results)


def test_a_seed_outside_the_list_can_lend_its_target(config: Path, tmp_path: Path) -> None:
    results = compare(str(config), out=str(tmp_path), seeds=[4], target_seed=7)
    assert {path.name for path in tmp_path.glob("seed*")} == {"seed4", "seed7"}
    assert [row["seed"] for row in results["rows"]] == [4, 4, 4]


def test_methods_draw_the_batches_of_their_yaml(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "# Own: batches of its own.\n"
        "model: {class_path: UnlearningModule, init_args: {strategy: {class_path: FixedWeights}}}\n"
        "data: {class_path: Images, init_args: {forget_batch_size: 3, retain_batch_size: 5}}\n"
    )
    results = compare(
        str(config), out=str(tmp_path / "out"), methods=[str(own)], seeds=[0], method_batches=True
    )
    assert results["protocol"]["batch_sizes"] == {"own": {"forget_batch_size": 3, "retain_batch_size": 5}}
    written = (tmp_path / "out" / "seed0" / "own" / "config.yaml").read_text()
    assert "forget_batch_size: 3" in written


def test_a_target_is_not_shared_by_seeds_that_forget_different_data(tmp_path: Path) -> None:
    config = tmp_path / "authors.yaml"
    config.write_text(
        "data: {class_path: TOFU, init_args: {authors: 20, forget: forget10}}\n"
        "model: {class_path: CausalLM, init_args: {hidden_size: 16, layers: 1, heads: 2}}\n"
        "evaluator: {class_path: TOFUEvaluator}\n"
        "methods: [gdiff]\nseeds: [0, 1]\n"
    )
    with pytest.raises(ConfigurationError, match="`target_seed` may be given only where"):
        compare(str(config), out=str(tmp_path / "out"), target_seed=0)
