"""continual: each request from the model that the one before left behind; resumed by content."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from unlearnkit.errors import ConfigurationError
from unlearnkit.evaluators import read, sustainability
from unlearnkit.study import continual

# The package has the function under the name of its file.
module = import_module("unlearnkit.study.continual")

TINY = """
name: tiny
data:
  class_path: TOFU
  init_args:
    {forget: forget10, requests: ["4", "1-2"], authors: 40, questions: 1, data_seed: 0, vocab_size: 400,
    forget_batch_size: 1}
model:
  class_path: CausalLM
  init_args: {hidden_size: 32, layers: 1, heads: 2, max_length: 128}
evaluator:
  class_path: TOFUEvaluator
  init_args: {max_new_tokens: 4, rows: 6}
methods: [gdiff]
seeds: [0]
rounds: 2
finetune: {epochs: 1}
path: {every: 2, rows: 2}
accelerator: cpu
"""

NEWS = """
name: news
benchmark: muse
data:
  class_path: MUSE
  init_args:
    {requests: [sust_1, sust_2], cut: documents, articles: 10, data_seed: 0, vocab_size: 400, max_length: 64,
    forget_batch_size: 1, retain_batch_size: 1}
model:
  class_path: CausalLM
  init_args: {hidden_size: 32, layers: 1, heads: 2, max_length: 256}
evaluator:
  class_path: MUSEEvaluator
  init_args: {rows: 2, examples: 0}
methods: [gdiff]
seeds: [0]
rounds: 2
finetune: {epochs: 1}
path: {every: 2, rows: 2}
accelerator: cpu
"""

Run = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("continual") / "run"
    return out, continual(str(config), out=str(out))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_rows_come_by_request_the_reference_first(run: Run) -> None:
    rows = run[1]["rows"]
    assert [(row["request"], row["method"]) for row in rows] == [
        (number, method) for number in (1, 2) for method in ("retrained", "target", "gdiff")
    ]
    assert json.loads((run[0] / "results.json").read_text()) == json.loads(json.dumps(run[1]))


def test_everything_asked_for_up_to_a_request_is_its_forget_set(run: Run) -> None:
    out, results = run
    assert [row["n"]["forget"] for row in results["rows"]] == [1, 1, 1, 3, 3, 3]
    splits = [
        json.loads((out / "seed0" / f"request{k}" / "gdiff" / "split.json").read_text()) for k in (1, 2)
    ]
    assert [split["forget"] for split in splits] == [[39], [36, 37]]
    assert set(splits[1]["retain"]) == {*range(36), 38}
    by_request = [row["by_request"] for row in results["rows"]]
    assert [sorted(found) for found in by_request] == [["1"]] * 3 + [["1", "2"]] * 3
    whole = results["rows"][-1]
    parts = whole["by_request"]
    mean = (parts["1"]["rouge"] + 2 * parts["2"]["rouge"]) / 3
    assert whole["summary"]["forget_rouge"] == pytest.approx(mean)
    mean = (parts["1"]["probability"] + 2 * parts["2"]["probability"]) / 3
    assert whole["summary"]["forget_probability"] == pytest.approx(mean)


def test_each_request_has_its_own_reference(run: Run) -> None:
    rows = {(row["request"], row["method"]): row["summary"] for row in run[1]["rows"]}
    assert rows[2, "retrained"]["forget_quality"] == 1.0
    assert 0.0 <= rows[2, "gdiff"]["forget_quality"] <= 1.0
    first, second = (weights(run[0] / "seed0" / f"request{k}" / "retrained") for k in (1, 2))
    assert not same(first, second)


def test_a_request_starts_where_the_one_before_ended(run: Run, config: Path, tmp_path: Path) -> None:
    """With a rate of 0 nothing moves; so what the second request ends with is what it started from."""
    still = tmp_path / "still.yaml"
    packaged = Path(module.__file__).parent.parent / "configs" / "tofu" / "gdiff.yaml"
    moving, text = tmp_path / "moving", packaged.read_text()
    shutil.copytree(run[0], moving)
    still.write_text(text.replace("lr: 3.0e-4", "lr: 0.0"))
    end = weights(run[0] / "seed0" / "request1" / "gdiff")
    assert not same(end, weights(run[0] / "seed0" / "target"))
    assert not same(end, weights(run[0] / "seed0" / "request2" / "gdiff"))
    continual(str(config), out=str(moving), methods=[str(still)])
    assert same(weights(run[0] / "seed0" / "target"), weights(moving / "seed0" / "request2" / "still"))


def test_paths_go_over_requests(run: Run) -> None:
    path = next(path for path in run[1]["paths"] if path["method"] == "gdiff")
    assert [point["request"] for point in path["path"]] == [1, 2]
    last = run[1]["rows"][-1]["summary"]
    assert path["path"][-1] == {"request": 2, **last}
    text = (run[0] / "summary.md").read_text()
    assert "After request 2 of 2 (authors 1-2)" in text and "each request's own rows" in text


def test_finished_requests_are_not_run_again(
    run: Run, config: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(run[0], out)
    shutil.rmtree(out / "seed0" / "request2" / "gdiff")
    made: list[str] = []
    real = module.unlearn_with

    def counted(setting: Any, method: Any, seed: int, before: Path, folder: Path, *rest: Any) -> Any:
        made.append(f"{before.parent.name}/{before.name} -> {folder.parent.name}/{folder.name}")
        return real(setting, method, seed, before, folder, *rest)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr(module, "unlearn_with", counted)
    monkeypatch.setattr(module, "train", never)
    monkeypatch.setattr(module, "_evaluate_target", never)
    again = continual(str(config), out=str(out))
    assert made == ["request1/gdiff -> request2/gdiff"]
    assert [row["summary"] for row in again["rows"]] == [row["summary"] for row in run[1]["rows"]]


def test_without_references_the_target_stands_beside(run: Run, config: Path, tmp_path: Path) -> None:
    results = continual(str(config), out=str(tmp_path / "bare"), reference=False)
    assert [row["method"] for row in results["rows"]] == ["target", "gdiff"] * 2
    assert results["rows"][-1]["summary"]["forget_quality"] is None
    with_reference = [row["summary"]["forget_rouge"] for row in run[1]["rows"] if row["method"] == "gdiff"]
    assert [
        row["summary"]["forget_rouge"] for row in results["rows"] if row["method"] == "gdiff"
    ] == with_reference


def test_muse_is_forgotten_request_by_request(tmp_path: Path) -> None:
    (tmp_path / "news.yaml").write_text(NEWS)
    results = continual(str(tmp_path / "news.yaml"), out=str(tmp_path / "run"))
    assert [(row["request"], row["method"]) for row in results["rows"]] == [
        (number, method) for number in (1, 2) for method in ("retrained", "target", "gdiff")
    ]
    folders = [tmp_path / "run" / "seed0" / f"request{k}" for k in (1, 2)]
    first, second = (json.loads((folder / "gdiff" / "split.json").read_text()) for folder in folders)
    assert (first["name"], second["name"]) == ("sust_1", "sust_2")
    assert first["forget"] and second["forget"] and not set(first["forget"]) & set(second["forget"])
    # What the first request took is on neither side of the second, nor in its reference.
    assert not set(first["forget"]) & set(second["retain"])
    evaluations = [read(folder / "gdiff" / "evaluation.json") for folder in folders]
    found = sustainability(evaluations)
    assert found.values == tuple(
        row["summary"]["retain_knowmem"] for row in results["rows"] if row["method"] == "gdiff"
    )
    text = (tmp_path / "run" / "summary.md").read_text()
    assert "After request 2 of 2 (sust_2)" in text and "Sustainability: change per request" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data__requests": None}, "`data` must have `requests`"),
        ({"data__requests": []}, "`data` must have `requests`"),
        ({"data__requests": ["1-3", "2"]}, "must ask for each author once. Found author 2"),
        ({"data__requests": ["1", "2-1"]}, "which asks for nobody"),
        ({"data__requests": ["1-5"]}, "must ask for authors from 1 to 4"),
        ({"target_seed": 0}, "`target_seed` must be unset"),
        ({"methods": []}, "`methods` must be a list of one or more"),
        ({"refrence": True}, "`overrides` must be options of `unlearnkit continual`"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    config: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        continual(str(config), out=str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()
