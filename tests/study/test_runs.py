"""A run is finished when its folder says so, under the same key and on the same split."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.artifacts import Split, atomic_write_json
from unlearnkit.study.runs import finished

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
