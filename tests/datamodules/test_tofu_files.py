"""Reading TOFU: generated, from a folder, from the hub's code path; and every way a folder can be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import datasets
import pytest

from unlearnkit.datamodules import load_tofu
from unlearnkit.datamodules.tofu_files import _read_hub
from unlearnkit.errors import DataError, DataNotFoundError
from unlearnkit.synthetic import fictitious_authors, write_tofu_folder

SIZES = {"authors": 4, "questions": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tofu_folder(tmp_path / "TOFU", **SIZES, general=5)


def replace_line(file: Path, number: int, line: str) -> None:
    lines = file.read_text().splitlines()
    lines[number - 1] = line
    file.write_text("\n".join(lines) + "\n")


def test_generated_authors() -> None:
    made = fictitious_authors(**SIZES, seed=3)
    assert load_tofu(None, "full", **SIZES, seed=3) == made["full"]
    assert load_tofu(None, "full", **SIZES, seed=4) != made["full"]


def test_a_folder_gives_what_was_written_with_the_value_column(folder: Path) -> None:
    for name, rows in fictitious_authors(**SIZES, general=5).items():
        assert load_tofu(str(folder), name) == rows
    assert "value" in load_tofu(str(folder), "full")[0]


def test_the_hubs_code_path_gives_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert _read_hub(str(folder), "forget10_perturbed") == load_tofu(str(folder), "forget10_perturbed")
    assert capfd.readouterr().err == ""  # no progress bar
    assert not datasets.utils.are_progress_bars_disabled()


def test_a_changed_file_counts_at_once_even_with_its_old_time(folder: Path) -> None:
    file = folder / "forget10.json"
    before, times = load_tofu(str(folder), "forget10"), os.stat(file)
    file.write_text(file.read_text().replace('"answer": "', '"answer": "Now ', 1))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = load_tofu(str(folder), "forget10")
    assert after[0]["answer"] == "Now " + before[0]["answer"]
    assert after[1:] == before[1:]


def test_the_real_data(test_data: Path) -> None:
    path = str(test_data / "TOFU")
    rows = {
        "forget01": 40,
        "forget05": 200,
        "forget10": 400,
        "retain99": 3960,
        "retain95": 3800,
        "retain90": 3600,
    }
    rows |= {f"forget{percent}_perturbed": rows[f"forget{percent}"] for percent in ("01", "05", "10")}
    rows |= {
        "full": 4000,
        "retain_perturbed": 400,
        "real_authors_perturbed": 100,
        "world_facts_perturbed": 117,
    }
    assert {name: len(load_tofu(path, name)) for name in rows} == rows
    assert len(load_tofu(path, "forget10_perturbed")[0]["perturbed_answer"]) == 5


# -------------------------------------------------------------------------------------- bad input


def test_a_line_that_is_not_json(folder: Path) -> None:
    replace_line(folder / "retain90.json", 2, '{"question": "Who?", "answer": ')
    message = (
        r"one JSON object a line. Found Expecting value \(column 31\) in .*retain90.json, line 2. Mend or"
    )
    with pytest.raises(DataError, match=message):
        load_tofu(str(folder), "retain90")


def test_a_line_without_a_column(folder: Path) -> None:
    replace_line(folder / "full.json", 3, json.dumps({"question": "Who?"}))
    message = r"'full' a column 'answer' of type str. Found NoneType in .*full.json, line 3. Add the column"
    with pytest.raises(DataError, match=message):
        load_tofu(str(folder), "full")


@pytest.mark.parametrize("column", ["perturbed_answer", "paraphrased_answer"])
def test_a_perturbed_line_without_its_columns(folder: Path, column: str) -> None:
    file = folder / "forget10_perturbed.json"
    row = json.loads(file.read_text().splitlines()[0])
    del row[column]
    replace_line(file, 1, json.dumps(row))
    with pytest.raises(DataError, match=rf"a column '{column}' of type .*forget10_perturbed.json, line 1"):
        load_tofu(str(folder), "forget10_perturbed")


@pytest.mark.parametrize("line", ['["a", "list"]', '{"question": "Who?", "answer": 7}'])
def test_a_line_of_another_type(folder: Path, line: str) -> None:
    replace_line(folder / "full.json", 1, line)
    with pytest.raises(DataError, match=r"of type str. Found .* in .*full.json, line 1"):
        load_tofu(str(folder), "full")


def test_blank_lines_are_not_counted_as_rows(folder: Path) -> None:
    rows = load_tofu(str(folder), "forget10")
    file = folder / "forget10.json"
    file.write_text(file.read_text().replace("\n", "\n\n"))
    assert load_tofu(str(folder), "forget10") == rows


def test_an_empty_file(folder: Path) -> None:
    (folder / "forget10.json").write_text("\n")
    with pytest.raises(DataError, match=r"must give 'forget10' rows. Found none in .*forget10.json"):
        load_tofu(str(folder), "forget10")


def test_a_missing_file(folder: Path) -> None:
    (folder / "retain90.json").unlink()
    with pytest.raises(
        DataNotFoundError, match=r"every file that its README.md lists. Found no retain90.json in"
    ):
        load_tofu(str(folder), "forget10")


def test_a_configuration_that_does_not_exist(folder: Path) -> None:
    message = r"`configuration` must be one of those in .*forget01, .*world_facts_perturbed. Found 'forget20'"
    with pytest.raises(DataNotFoundError, match=message):
        load_tofu(str(folder), "forget20")
    with pytest.raises(DataNotFoundError, match=message):
        _read_hub(str(folder), "forget20")
    with pytest.raises(DataNotFoundError, match=r"those in the generated authors: .* Found 'forget20'"):
        load_tofu(None, "forget20", **SIZES)


def test_a_line_that_is_not_utf8(folder: Path) -> None:
    file = folder / "forget10.json"
    file.write_bytes(file.read_bytes() + b'{"question": "\xff"}\n')
    lines = len(file.read_bytes().splitlines())
    with pytest.raises(DataError, match=rf"'utf-8' codec can't decode .* in .*forget10.json, line {lines}"):
        load_tofu(str(folder), "forget10")


@pytest.mark.parametrize("text", [None, "", "Just words.", "---\nlicense: mit\n---\n", "---\n: [\n---\n"])
def test_a_folder_without_a_readme_that_lists_configurations(folder: Path, text: str | None) -> None:
    if text is None:
        (folder / "README.md").unlink()
    else:
        (folder / "README.md").write_text(text)
    with pytest.raises(DataNotFoundError, match=r"a folder in the hub's layout.*without such a README.md"):
        load_tofu(str(folder), "full")


@pytest.mark.parametrize("name", ["locuslab/TOFU", "/no/such/folder", "no_such_folder"])
def test_no_network_with_a_hub_name(name: str) -> None:
    message = (
        rf"Found '{name}', which is neither a folder nor within reach.*give the path of a folder in the hub's"
    )
    with pytest.raises(DataNotFoundError, match=message):
        load_tofu(name, "forget10")
