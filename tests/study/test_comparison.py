"""compare: whole folders a run, resumed by content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.study import compare, runs
from unlearnkit.study.runs import PATH_EVALUATION

Run = tuple[Path, dict[str, Any]]


def test_rows_come_in_the_order_of_the_table(tiny_run: Run) -> None:
    _, results = tiny_run
    assert [row["method"] for row in results["rows"]] == ["retrained", "target", "gdiff", "ngdiff_gen"]


def test_every_run_folder_is_whole(tiny_run: Run) -> None:
    out, _ = tiny_run
    for name in ("target", "retrained", "gdiff", "ngdiff_gen"):
        found = {path.name for path in (out / "seed0" / name).iterdir()}
        whole = {"config.yaml", "split.json", "tokenizer", "model", "evaluation.json", "results.json"}
        assert found == whole | ({PATH_EVALUATION} if name == "retrained" else set())
    assert {"results.json", "tradeoff.png", "tradeoff.svg", "report.html"} <= {p.name for p in out.iterdir()}


def test_results_say_what_makes_them_comparable(tiny_run: Run) -> None:
    out, results = tiny_run
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["protocol"]["from_scratch"] is True
    assert results["protocol"]["n"]["forget"] == 4
    assert results["versions"]["torch"] and results["hardware"]["cores"]
    assert results["command"].startswith("unlearnkit compare --config=")


def test_a_path_starts_at_the_target_and_ends_at_the_last_round(tiny_run: Run) -> None:
    for row in tiny_run[1]["rows"]:
        if row["role"] == "method":
            assert [point["round"] for point in row["path"]] == [0, 2, 3]


def test_paths_are_compared_with_the_retrained_model_on_their_own_rows(tiny_run: Run) -> None:
    out, results = tiny_run
    reference = json.loads((out / "seed0" / "retrained" / PATH_EVALUATION).read_text())
    by_name = {row["method"]: row for row in results["rows"]}
    assert by_name["retrained"]["path"] == [{"round": 0, **reference["summary"]}]
    assert by_name["retrained"]["path"][0]["forget_quality"] == 1.0
    for point in by_name["gdiff"]["path"]:
        assert 0.0 <= point["forget_quality"] <= 1.0


def test_the_retrained_reference_has_forget_quality_one(tiny_run: Run) -> None:
    by_name = {row["method"]: row["summary"] for row in tiny_run[1]["rows"]}
    assert by_name["retrained"]["forget_quality"] == 1.0
    assert 0.0 <= by_name["target"]["forget_quality"] <= 1.0


def test_a_second_run_reads_what_is_there(tiny_run: Run, tiny_config: Path, monkeypatch: Any) -> None:
    out, results = tiny_run

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr("unlearnkit.study.comparison.train", never)
    monkeypatch.setattr("unlearnkit.study.comparison.unlearn_with", never)
    assert compare(str(tiny_config), out=str(out))["rows"] == results["rows"]


def test_a_half_written_result_is_redone_and_the_rest_kept(
    tiny_run: Run, tiny_config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(tiny_run[0], out)
    damaged = out / "seed0" / "gdiff" / "results.json"
    whole = json.loads(damaged.read_text())
    damaged.write_text(damaged.read_text()[:40])
    kept = (out / "seed0" / "ngdiff_gen" / "results.json").read_text()
    compare(str(tiny_config), out=str(out))
    assert json.loads(damaged.read_text())["summary"] == whole["summary"]
    assert (out / "seed0" / "ngdiff_gen" / "results.json").read_text() == kept


def test_stopped_between_two_methods_it_continues(
    tiny_run: Run, tiny_config: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(tiny_run[0], out)
    for name in ("gdiff", "ngdiff_gen"):
        shutil.rmtree(out / "seed0" / name)
    real, made = runs.unlearn_with, []

    def stopped(setting: Any, method: Any, *rest: Any) -> Any:
        if made:
            raise KeyboardInterrupt
        made.append(method.name)
        return real(setting, method, *rest)

    monkeypatch.setattr("unlearnkit.study.comparison.unlearn_with", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(str(tiny_config), out=str(out))
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["retrained", "target", "gdiff"]
    monkeypatch.undo()
    again = compare(str(tiny_config), out=str(out))
    by_name = {row["method"]: row["summary"] for row in tiny_run[1]["rows"]}
    assert {row["method"]: row["summary"] for row in again["rows"]} == by_name


def test_a_method_that_diverges_is_reported_and_does_not_stop_the_others(
    tiny_run: Run, tiny_config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(tiny_run[0], out)
    own = tmp_path / "wild.yaml"
    packaged = Path(runs.__file__).parent.parent / "configs" / "tofu" / "gdiff.yaml"
    own.write_text(packaged.read_text().replace("GDiff 0.5", "Wild").replace("lr: 3.0e-4", "lr: 1.0e+39"))
    results = compare(str(tiny_config), out=str(out), methods=[str(own), "gdiff"])
    wild, gdiff = results["rows"][2:]
    assert "loss must stay finite" in wild["diverged"] and "round" in wild["diverged"]
    assert gdiff["summary"] == next(r for r in tiny_run[1]["rows"] if r["method"] == "gdiff")["summary"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": ["ngdif"]}, UnknownNameError, "Did you mean 'ngdiff'"),
        ({"methods": []}, ConfigurationError, "`methods` must be a list of one or more"),
        ({"seeds": [1, 1]}, ConfigurationError, "`seeds` must be a list of one or more different"),
        ({"path__every": 0}, ConfigurationError, "`path.every` must be at least 1"),
        ({"path__rows": 0}, ConfigurationError, "`path.rows` must be at least 1"),
        ({"threads": 0}, ConfigurationError, "`threads` must be at least 1"),
        ({"rounds": 0}, ConfigurationError, "`rounds` must be at least 1"),
        ({"methods": ["ngdiff", "tofu/ngdiff"]}, ConfigurationError, "must have different names"),
        ({"methods": ["ngdiff@-1"]}, ConfigurationError, "Learning rates must be 0 or above"),
        ({"data__athors": 3}, ConfigurationError, "`overrides` must be options"),
        ({"finetune__epochs": 0}, ConfigurationError, "`finetune.epochs` must be above 0"),
    ],
)
def test_bad_input_names_the_remedy(
    tiny_config: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare(str(tiny_config), out=str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


def test_an_unknown_config_lists_the_packaged_ones() -> None:
    with pytest.raises(UnknownNameError, match="tofu/quickstart.yaml"):
        compare("tofu/quickstar.yaml")
