"""downstream: what the harness is asked for, and what is made of its answer.

The harness itself is not among the packages of the tests: it runs here with a stand-in that has its signature, and
what it would score is not tested.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from unlearnkit.errors import (
    ConfigurationError,
    DataNotFoundError,
    MismatchError,
    MissingDependencyError,
    UnknownNameError,
)
from unlearnkit.study.downstream import TASKS, downstream, downstream_parser, downstream_table, main

# Paper 002's row `Initial` on Llama 3, per cent.
PRINTED = {"arc-c": 55.38, "mmlu": 64.59, "truthfulqa": 37.33, "triviaqa": 50.93, "gsm8k": 76.12}
AVERAGE = 56.87


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my,model=1"
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


class Harness:
    """Answers every call with the printed numbers, in the harness's form."""

    def __init__(self, left_out: str = "") -> None:
        self.calls: list[dict[str, Any]] = []
        self.left_out = left_out

    def __call__(self, **asked: Any) -> dict[str, Any]:
        self.calls.append(asked)
        by_task = {task.harness: (task.metric, PRINTED[name] / 100) for name, task in TASKS.items()}
        results = {
            task: {"alias": task, by_task[task][0]: by_task[task][1]}
            for task in asked["tasks"]
            if task != self.left_out
        }
        return {"results": results, "versions": {"mmlu": 2}, "n-shot": {"gsm8k": 5}, "config": {"large": 1}}


def test_each_model_is_asked_once_for_all_tasks(folder: Path, tmp_path: Path) -> None:
    harness = Harness()
    results = downstream(
        str(folder), initial="some/model", few_shot=0, limit=3, batch_size=4, out=tmp_path, evaluate=harness
    )
    common = {
        "model": "hf",
        "tasks": ["arc_challenge", "mmlu", "truthfulqa_mc1", "triviaqa", "gsm8k"],
        "num_fewshot": 0,
        "batch_size": 4,
        "device": None,
        "limit": 3,
        "log_samples": False,
    }
    places = ["some/model", str(folder)]
    assert harness.calls == [
        {**common, "model_args": {"pretrained": place, "dtype": "auto", "add_bos_token": True}}
        for place in places
    ]
    assert [row["model"] for row in results["rows"]] == ["Initial", "my,model=1"]
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (
        results["rows"][0]["harness"]["n-shot"] == {"gsm8k": 5}
        and "config" not in results["rows"][0]["harness"]
    )


def test_the_table_is_paper_002s(folder: Path, tmp_path: Path) -> None:
    results = downstream(str(folder), out=tmp_path, evaluate=Harness())
    table = downstream_table(results)
    assert [column.name for column in table.columns][1:] == [
        "ARC-c ↑", "MMLU ↑", "TruthfulQA ↑", "TriviaQA ↑", "GSM8K ↑", "AVG ↑",
    ]  # fmt: skip
    assert [float(cell.wide) for cell in table.rows[0][1:]] == [*PRINTED.values(), AVERAGE]
    assert "gsm8k (exact_match,flexible-extract)" in table.caption[0] and "all questions" in table.caption[0]
    assert "my,model=1" in (tmp_path / "downstream.md").read_text()


def test_some_tasks_are_averaged_alone(folder: Path, tmp_path: Path) -> None:
    results = downstream(str(folder), tasks=["mmlu", "gsm8k"], out=tmp_path, evaluate=Harness())
    assert results["rows"][0]["average"] == pytest.approx((0.6459 + 0.7612) / 2)


def test_the_command_line_takes_one_folder_or_several() -> None:
    parser = downstream_parser()
    one = parser.parse_args(["--model=a/b", "--tasks=[arc-c,mmlu]", "--limit=5", "--initial=x/y"])
    assert (one.model, one.tasks, one.limit, one.initial) == ("a/b", ["arc-c", "mmlu"], 5, "x/y")
    assert parser.parse_args(["--model=[a,b]"]).model == ["a", "b"]
    assert parser.parse_args(["--model", "a"]).tasks == list(TASKS)


def test_without_the_harness_the_command_to_install_it_is_named(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingDependencyError, match=r"Run: pip install 'unlearnkit\[downstream\]'"):
        main([f"--model={json.dumps([str(folder)])}", f"--out={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tasks": ["arc"]}, UnknownNameError, "Did you mean 'arc-c'"),
        ({"tasks": []}, ConfigurationError, "`tasks` must hold one or more"),
        ({"tasks": ["mmlu", "mmlu"]}, ConfigurationError, "`tasks` must hold one or more different"),
        ({"few_shot": -1}, ConfigurationError, "`few_shot` must be 0 or above. Found -1"),
        ({"limit": 0}, ConfigurationError, "`limit` must be 1 or above. Found 0"),
        ({"model": []}, ConfigurationError, "`model` must name at least one folder"),
        ({"model": "no/such"}, DataNotFoundError, "Export the run first: unlearnkit export RUN OUT"),
    ],
)
def test_bad_input_names_the_remedy(
    folder: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    harness = Harness()
    with pytest.raises(error, match=message):
        downstream(**{"model": str(folder), "out": tmp_path / "out", "evaluate": harness, **options})
    assert not harness.calls and not (tmp_path / "out").exists()


def test_two_rows_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Found 'my,model=1' twice"):
        downstream([str(folder), str(folder)], out=tmp_path, evaluate=Harness())


def test_a_number_that_the_harness_does_not_report_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"must report 'acc,none' of 'mmlu'. Found nothing"):
        downstream(str(folder), out=tmp_path, evaluate=Harness(left_out="mmlu"))
