"""Reading MUSE: generated, from a folder, from the hub's code path; and every way a folder can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from unlearnkit.datamodules import load_muse
from unlearnkit.datamodules.muse_files import _read_hub, corpus_of
from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError, UnknownNameError
from unlearnkit.synthetic import fictitious_news, write_news_folder

NEWS = fictitious_news(articles=10, seed=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_news_folder(tmp_path / "MUSE-News", articles=10, seed=3)


def test_generated_news() -> None:
    assert load_muse(None, "sust", "forget_2", articles=10, seed=3) == NEWS["sust"]["forget_2"]


def test_a_folder_gives_what_was_written(folder: Path) -> None:
    for name, splits in NEWS.items():
        for split, rows in splits.items():
            assert load_muse(str(folder), name, split) == rows


def test_a_folder_of_both_corpora_is_looked_through(folder: Path) -> None:
    assert load_muse(str(folder.parent), "raw", "forget", corpus="News") == NEWS["raw"]["forget"]


def test_parquet_as_on_the_hub(folder: Path) -> None:
    readme = folder / "README.md"
    file = folder / "raw" / "forget.jsonl"
    datasets.Dataset.from_list(NEWS["raw"]["forget"]).to_parquet(
        folder / "raw" / "forget-00000-of-00001.parquet"
    )
    file.unlink()
    readme.write_text(readme.read_text().replace("raw/forget.jsonl", "raw/forget-*"))
    assert load_muse(str(folder), "raw", "forget") == NEWS["raw"]["forget"]


def test_the_hubs_code_path_gives_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert _read_hub(str(folder), "knowmem", "retain_qa") == NEWS["knowmem"]["retain_qa"]
    assert capfd.readouterr().err == ""  # no progress bar
    with pytest.raises(DataNotFoundError, match=r"no such split in .*; there are scal \(forget_1, "):
        _read_hub(str(folder), "scal", "forget_9")
    with pytest.raises(DataNotFoundError, match="no such configuration in"):
        _read_hub(str(folder), "scale", "forget_1")


@pytest.mark.parametrize("path", [None, "folder"])
def test_a_corpus_without_a_split_names_what_is_there(folder: Path, path: str | None) -> None:
    place = None if path is None else str(folder)
    with pytest.raises(DataNotFoundError) as caught:
        load_muse(place, "sust", "forget_5")
    message = str(caught.value)
    assert "the split 'forget_5' of 'sust'. Found no such split" in message
    assert (
        "in the generated corpus News;" in message
        if path is None
        else f"in the corpus News in {folder};" in message
    )
    assert "sust (forget_1, forget_2, forget_3, forget_4)" in message
    with pytest.raises(DataNotFoundError, match="Found no such configuration in"):
        load_muse(place, "sustain", "forget_1")


@pytest.mark.parametrize("readme", [None, "# no front matter", "---\nconfigs: []\n---\n"])
def test_a_folder_in_another_layout_is_refused(folder: Path, readme: str | None) -> None:
    (folder / "README.md").unlink() if readme is None else (folder / "README.md").write_text(readme)
    with pytest.raises(DataNotFoundError, match="`path` must be a folder in the hub's layout"):
        load_muse(str(folder), "raw", "forget")


def test_a_listed_file_must_be_there(folder: Path) -> None:
    (folder / "raw" / "forget.jsonl").unlink()
    with pytest.raises(DataNotFoundError, match=r"Found no raw/forget\.jsonl in"):
        load_muse(str(folder), "raw", "forget")
    assert load_muse(str(folder), "raw", "holdout")


def test_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataNotFoundError, match=r"Found 'no/where', which is neither a folder nor within reach"
    ):
        load_muse("no/where", "raw", "forget")


WRONG = {
    "{": "must hold one JSON object a line. Found another content",
    '["text"]': "Found a list in",
    json.dumps({"txt": "a"}): "a column 'text' with text in it. Found None in row 1",
    json.dumps({"text": "  "}): "Found '  ' in row 1",
    "": "must give raw/forget of .* rows. Found none",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_named(folder: Path, line: str) -> None:
    (folder / "raw" / "forget.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=WRONG[line]):
        load_muse(str(folder), "raw", "forget")


def test_files_of_another_type_are_refused(folder: Path) -> None:
    (folder / "raw" / "forget.txt").write_text("text")
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("raw/forget.jsonl", "raw/forget.txt"))
    with pytest.raises(DataError, match=r"`path` must hold files of type \.json, \.jsonl, \.parquet"):
        load_muse(str(folder), "raw", "forget")


def test_corpus_comes_from_the_path() -> None:
    assert corpus_of("/data/muse-books", None) == "Books"
    assert corpus_of("/data", "Books") == "Books"
    assert corpus_of("muse-bench/MUSE-News", "News") == "News"
    with pytest.raises(
        UnknownNameError, match="`corpus` must be one of: Books, News|`corpus` must be one of"
    ):
        corpus_of(None, "Novels")
    with pytest.raises(ConfigurationError, match="news are generated, books are not"):
        corpus_of(None, "Books")
    with pytest.raises(ConfigurationError, match="the one that `path` names, 'News'. Found 'Books'"):
        corpus_of("muse-bench/MUSE-News", "Books")
