from __future__ import annotations

import datasets
import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import fictitious_news, write_news_folder

SMALL = {"articles": 10, "questions": 2, "seed": 4}


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_folder_reads_with_datasets_like_the_public_one(tmp_path):
    folder = write_news_folder(tmp_path / "MUSE-News", **SMALL)
    for name, splits in fictitious_news(**SMALL).items():
        found = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        assert {split: rows.to_list() for split, rows in found.items()} == splits


def test_same_arguments_write_the_same_bytes_and_another_seed_does_not(tmp_path):
    first = contents(write_news_folder(tmp_path / "a", **SMALL))
    assert first == contents(write_news_folder(tmp_path / "b", **SMALL))
    assert first != contents(write_news_folder(tmp_path / "b", **{**SMALL, "seed": 5})), "replaced as a whole"
    assert "write_news_folder(folder, articles=10, questions=2, seed=4)" in first["README.md"].decode()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("my notes")
    with pytest.raises(ConfigurationError, match=r"`folder` must be new, empty, .*Choose another folder"):
        write_news_folder(tmp_path, **SMALL)
    assert contents(tmp_path) == {"README.md": b"my notes"}
