"""Files of people: both layouts, what is wrong with them, and the draw of who is tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unlearnkit.datamodules.people_files import divide_neighbours, load_people
from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError
from unlearnkit.synthetic import fictitious_people, write_people_folder

ROW = {"name": "Ana", "question": "Who?", "answer": "She."}


def write(folder: Path, name: str, content: Any) -> str:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


def test_a_written_folder_reads_as_what_was_generated(tmp_path: Path) -> None:
    folder = write_people_folder(tmp_path / "people", people=2, neighbours=3, questions=2)
    made = fictitious_people(people=2, neighbours=3, questions=2)
    assert load_people(str(folder), "forget") == made["forget"]
    assert load_people(None, "neighbor", people=2, neighbours=3, questions=2) == made["neighbor"]


def test_a_list_is_read_like_lines_and_perturbed_rows_go_first(tmp_path: Path) -> None:
    folder = write(tmp_path, "forget.json", json.dumps(ROW) + "\n\n")
    assert load_people(folder, "forget") == [ROW]
    more = [{**ROW, "paraphrased_answer": "It was she.", "perturbed_answer": ["He."]}]
    write(tmp_path, "forget_perturbed.json", more)
    assert load_people(folder, "forget") == more


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "must hold JSON lines, or one JSON list"),
        ("", "must give rows in forget.json. Found none"),
        ([{"name": "Ana", "question": "Who?"}], "a column 'answer' of type str.*Found None in row 1"),
        ([ROW, {**ROW, "name": ""}], "a column 'name' of type str that is not empty. Found '' in row 2"),
        ([{**ROW, "perturbed_answer": "He."}], "a column 'perturbed_answer' of type list.*Found 'He.'"),
        (["Ana"], "a column 'name'.*in row 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, message: str) -> None:
    folder = write(tmp_path, "forget.json", content)
    with pytest.raises(DataError, match=message):
        load_people(folder, "forget")


def test_a_missing_file_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"a folder with forget.json and neighbor.json.*no neighbor.json"
    ):
        load_people(write(tmp_path, "forget.json", [ROW]), "neighbor")


def test_who_is_tested_hangs_on_names_and_seed_alone() -> None:
    names = [f"person {i}" for i in range(40)]
    first = divide_neighbours(names, None, seed=0)
    assert len(first) == 20
    assert divide_neighbours([*names[::-1], *names], None, seed=0) == first
    assert divide_neighbours(names, None, seed=1) != first
    assert divide_neighbours(names, 5, seed=0) < first


@pytest.mark.parametrize("number", [0, 4])
def test_somebody_is_left_on_both_sides(number: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"`test_people` must be from 1 to 3.*Found {number}\."):
        divide_neighbours(["a", "b", "c", "d"], number, seed=0)
    with pytest.raises(ConfigurationError, match="one of 1 neighbours"):
        divide_neighbours(["a"], None, seed=0)
