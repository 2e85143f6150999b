"""Files of preference pairs: folders in the hub's layouts, splits, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datamodules.preference_forms import HALU, PLAIN, SAFE, ULTRA, written
from unlearnkit.datamodules.preferences_fields import PreferencePair
from unlearnkit.datamodules.preferences_files import load_preferences
from unlearnkit.errors import DataError, DataNotFoundError, UnknownNameError


def test_folders_in_the_hubs_layouts(tmp_path: Path) -> None:
    for number in (2, 3):
        written(tmp_path / f"safe/data/Alpaca{number}-7B/train.jsonl", SAFE, SAFE)
        written(tmp_path / f"safe/data/Alpaca{number}-7B/test.jsonl", SAFE)
    assert len(load_preferences(str(tmp_path / "safe"))) == 4
    assert [pair.id for pair in load_preferences(str(tmp_path / "safe"))] == [0, 1, 2, 3]
    assert len(load_preferences(str(tmp_path / "safe"), configuration="Alpaca2-7B")) == 2
    assert len(load_preferences(str(tmp_path / "safe"), split="test")) == 2
    written(tmp_path / "ultra/data/train_prefs-00000-of-00001.jsonl", ULTRA)
    written(tmp_path / "ultra/data/test_prefs-00000-of-00001.jsonl", ULTRA, ULTRA)
    written(tmp_path / "ultra/data/train_sft-00000-of-00001.jsonl", ULTRA, ULTRA, ULTRA)
    assert len(load_preferences(str(tmp_path / "ultra"))) == 1
    written(tmp_path / "halu/data/qa_data.json", HALU)
    assert len(load_preferences(str(tmp_path / "halu"))) == 1


def test_a_parquet_file(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_list([ULTRA, ULTRA]).to_parquet(str(tmp_path / "data" / "train_prefs-0.parquet"))
    assert load_preferences(str(tmp_path))[1] == PreferencePair(1, "P?", "good", "bad", (8.0, 2.0))


def test_files_that_are_not_there_or_no_json(tmp_path: Path) -> None:
    written(tmp_path / "folder/other.jsonl", PLAIN)
    with pytest.raises(DataNotFoundError, match="a folder with files of a split.*Found other.jsonl"):
        load_preferences(str(tmp_path / "folder"))
    (tmp_path / "train.jsonl").write_text('{"prompt": "P?"\n')
    with pytest.raises(DataError, match=r"must hold one JSON object a line.*line 1. Mend or delete"):
        load_preferences(str(tmp_path / "train.jsonl"))
    written(tmp_path / "list.jsonl", [1])
    with pytest.raises(DataError, match="Found a list"):
        load_preferences(str(tmp_path / "list.jsonl"))
    written(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match="`path` must give rows. Found none"):
        load_preferences(str(tmp_path / "empty.jsonl"))
    with pytest.raises(
        DataNotFoundError, match="`path` must be a file or folder that is there, or a data set"
    ):
        load_preferences(str(tmp_path / "nowhere"))
    with pytest.raises(
        DataNotFoundError, match="Found 'PKU-Alignment/PKU-SafeRLHF', which could not be read"
    ):
        load_preferences("PKU-Alignment/PKU-SafeRLHF")


def test_names(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", SAFE)
    with pytest.raises(UnknownNameError, match="`prefer` must be one of"):
        load_preferences(file, prefer="nicer")
    with pytest.raises(UnknownNameError, match="`form` must be one of"):
        load_preferences(file, form="csv")
