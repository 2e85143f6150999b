from __future__ import annotations

import json

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import fictitious_authors, write_tofu_folder

SMALL = {"authors": 3, "questions": 2, "seed": 4, "general": 2}


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_folder_reads_with_datasets_like_the_public_one(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = write_tofu_folder(tmp_path / "TOFU", **SMALL)
    for name, rows in fictitious_authors(**SMALL).items():
        found = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        assert list(found) == ["train"]
        assert found["train"].to_list() == rows
    assert datasets.get_dataset_config_names(str(folder))[:2] == ["full", "forget01"]


def test_same_arguments_write_the_same_bytes_and_another_seed_does_not(tmp_path):
    first = contents(write_tofu_folder(tmp_path / "a", **SMALL))
    assert first == contents(write_tofu_folder(tmp_path / "b", **SMALL))
    other = contents(write_tofu_folder(tmp_path / "c", **{**SMALL, "seed": 5}))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first)


def test_lines_are_one_json_object_each(tmp_path):
    folder = write_tofu_folder(tmp_path / "TOFU", **SMALL)
    text = (folder / "forget10_perturbed.json").read_bytes()
    assert text.endswith(b"}\n") and b"\r" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines == fictitious_authors(**SMALL)["forget10_perturbed"]


def test_readme_says_how_to_make_it_again(tmp_path):
    readme = (write_tofu_folder(tmp_path / "TOFU", **SMALL) / "README.md").read_text()
    assert "write_tofu_folder(folder, authors=3, questions=2, seed=4, general=2)" in readme


def test_a_generated_folder_is_replaced(tmp_path):
    write_tofu_folder(tmp_path / "TOFU", **SMALL)
    write_tofu_folder(tmp_path / "TOFU", **{**SMALL, "authors": 4})
    assert len((tmp_path / "TOFU" / "full.json").read_text().splitlines()) == 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["TOFU"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("my notes")
    with pytest.raises(ConfigurationError, match=r"`folder` must be new, empty, .*Choose another folder"):
        write_tofu_folder(tmp_path, **SMALL)
    assert contents(tmp_path) == {"README.md": b"my notes"}


def test_bad_arguments_write_nothing(tmp_path):
    with pytest.raises(ConfigurationError, match="`authors`"):
        write_tofu_folder(tmp_path / "TOFU", authors=0)
    assert not (tmp_path / "TOFU").exists()
