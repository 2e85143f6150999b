"""Folders of generated pairs: read back, each form gives the pairs they were made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from unlearnkit.datamodules import load_preferences
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.synthetic import fictitious_preferences, write_preferences_folder
from unlearnkit.synthetic.preferences_folder import Form

SMALL = {"pairs": 30, "prompts": 10, "mislabel_rate": 0.2}


@pytest.mark.parametrize("form", get_args(Form))
def test_what_is_written_is_read_as_it_was_made(tmp_path: Path, form: Form) -> None:
    made = fictitious_preferences(**SMALL)
    folder = write_preferences_folder(tmp_path / "made", form, **SMALL)
    found = load_preferences(str(folder))
    assert [(pair.chosen, pair.rejected) for pair in found] == [
        (row["chosen"], row["rejected"]) for row in made
    ]
    assert all(row["prompt"] in pair.prompt for pair, row in zip(found, made, strict=True))
    if form in ("ultrafeedback", "pairs"):
        assert [pair.scores for pair in found] == [
            (row["score_chosen"], row["score_rejected"]) for row in made
        ]


def test_the_columns_of_safe_rlhf(tmp_path: Path) -> None:
    folder = write_preferences_folder(tmp_path / "made", "safe_rlhf", **SMALL)
    rows = [json.loads(line) for line in (folder / "data/Alpaca-7B/train.jsonl").read_text().splitlines()]
    assert {row["better_response_id"] for row in rows} == {0, 1}
    for row in rows:
        for number in (0, 1):
            safe, severity = row[f"is_response_{number}_safe"], row[f"response_{number}_severity_level"]
            assert safe == (severity == 0) == (not any(row[f"response_{number}_harm_category"].values()))
    assert any(not row["is_response_0_safe"] for row in rows)


def test_a_folder_of_other_things_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(ConfigurationError, match="`folder` must be new, empty, or one that was generated"):
        write_preferences_folder(tmp_path, **SMALL)
    with pytest.raises(UnknownNameError, match="`form` must be one of"):
        write_preferences_folder(tmp_path / "made", "csv", **SMALL)
    assert not (tmp_path / "made").exists()
