"""A folder of people: the layout that is read, written whole, never over other files."""

from __future__ import annotations

import json

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import fictitious_people, write_people_folder

SMALL = {"people": 2, "neighbours": 3, "questions": 2, "seed": 4}


def test_files_hold_one_row_a_line(tmp_path):
    folder = write_people_folder(tmp_path / "people", **SMALL)
    made = fictitious_people(**SMALL)
    for side in ("forget", "neighbor"):
        text = (folder / f"{side}.json").read_bytes()
        assert text.endswith(b"}\n") and b"\r" not in text
        assert [json.loads(line) for line in text.splitlines()] == made[side]
    assert "people=2, neighbours=3, questions=2, seed=4" in (folder / "README.md").read_text()


def test_a_generated_folder_is_replaced_and_another_is_left_alone(tmp_path):
    write_people_folder(tmp_path / "people", **SMALL)
    write_people_folder(tmp_path / "people", **{**SMALL, "people": 1})
    assert len((tmp_path / "people" / "forget.json").read_text().splitlines()) == 2
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="Choose another folder"):
        write_people_folder(tmp_path / "notes", **SMALL)
