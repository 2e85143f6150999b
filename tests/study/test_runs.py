"""A run is finished when its folder says so, under the same key and on the same split."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from unlearnkit.artifacts import Split, atomic_write_json, read_json
from unlearnkit.metrics.functional.gap import NUMBERS
from unlearnkit.study import compare
from unlearnkit.study.method import load_method
from unlearnkit.study.progress import StudyProgress
from unlearnkit.study.runs import PATH_EVALUATION, finished, unlearn_with
from unlearnkit.study.settings import Setting, comparison_parser

SPLIT = Split(name="forget10", forget=(3,), retain=(0, 1, 2), source="texts", rows=4)


def write(folder: Path) -> None:
    SPLIT.save(folder / "split.json")
    atomic_write_json(folder / "results.json", {"key": "a", "seconds": 1.0})


def test_only_the_same_key_counts(tmp_path: Path) -> None:
    write(tmp_path)
    assert finished(tmp_path, "a", SPLIT.hash) == {"key": "a", "seconds": 1.0}
    assert finished(tmp_path, "b", SPLIT.hash) is None


def test_a_run_on_data_that_have_changed_since_is_undone(tmp_path: Path) -> None:
    write(tmp_path)
    assert finished(tmp_path, "a", "0123456789abcdef") is None


def test_a_missing_or_half_written_file_is_undone(tmp_path: Path) -> None:
    assert finished(tmp_path, "a", SPLIT.hash) is None
    write(tmp_path)
    (tmp_path / "results.json").write_text('{"key": "a", "sec')
    assert finished(tmp_path, "a", SPLIT.hash) is None


DIGITS = """
name: tiny_digits
benchmark: digits
data: {class_path: Images, init_args: {source: digits, forget: {classes: [3]}, per_class: 20}}
model: {class_path: ImageClassifier}
evaluator: {class_path: ClassificationEvaluator}
methods: [ngdiff]
rounds: 2
finetune: {epochs: 2}
path: {every: 1, rows: 50}
accelerator: cpu
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Return the YAML, the folder and the results of a comparison of classifiers that takes seconds."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "tiny.yaml").write_text(DIGITS)
    return folder / "tiny.yaml", folder / "run", compare(str(folder / "tiny.yaml"), out=str(folder / "run"))


def test_each_point_of_a_path_has_its_gap_on_the_rows_of_the_path(
    digits: tuple[Path, Path, dict[str, Any]],
) -> None:
    _, out, results = digits
    reference = read_json(out / "seed0" / "retrained" / PATH_EVALUATION)
    assert reference["comparability"]["n"] == {"forget": 20, "retain": 50, "test": 50}
    method = next(row for row in results["rows"] if row["role"] == "method")
    assert [point["round"] for point in method["path"]] == [0, 1, 2]
    for point in method["path"]:
        distances = [abs(point[name] - reference["summary"][name]) for name in NUMBERS]
        assert point["gap"] == pytest.approx(sum(distances) / 4) and point["js_divergence"] > 0
    assert reference["summary"]["gap"] == 0.0


def test_figures_and_confusion_of_classifiers_are_there(digits: tuple[Path, Path, dict[str, Any]]) -> None:
    _, out, results = digits
    assert {"curves.png", "confusion.png", "tradeoff.png"} <= {path.name for path in out.iterdir()}
    assert all(row["confusion"]["forgotten"] == ["3"] for row in results["rows"])


def test_weights_that_are_no_numbers_are_a_run_that_diverged(
    digits: tuple[Path, Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out, _ = digits
    parser = comparison_parser()
    setting = Setting(parser, parser.parse_args([f"--config={config}"]))
    method = load_method("ngdiff", "digits")
    target = setting.target(out / "seed0" / "target" / "model")
    with torch.no_grad():
        next(target.parameters()).fill_(math.nan)
    monkeypatch.setattr(setting, "target", lambda folder: target)
    progress = StudyProgress(1.0, Console(file=io.StringIO()))
    reference = read_json(out / "seed0" / "retrained" / "evaluation.json")
    folder = out / "seed0" / "lost"
    row = unlearn_with(setting, method, 0, out / "seed0" / "target", folder, "k", progress, reference)
    assert row["diverged"] and row["summary"]["gap"] is None and row["summary"]["forget_accuracy"] == 0.0
    assert read_json(folder / "evaluation.json")["failure"].endswith("it diverged")
    assert all(point["gap"] is None for point in row["path"])
