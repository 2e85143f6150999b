"""Read MUSE's configurations: generated news, a local folder in the hub's layout, or the hub."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from unlearnkit.datamodules.json_lines import json_object
from unlearnkit.datamodules.without_progress_bars import without_progress_bars
from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError, UnknownNameError

Corpus = Literal["News", "Books"]
Row = dict[str, Any]

HUB_NAME = "muse-bench/MUSE-News"
_COLUMNS = {"verbmem": ("prompt", "gt"), "knowmem": ("question", "answer")}
_BUILDERS = {".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def corpus_of(path: str | None, corpus: str | None) -> Corpus:
    """Return which corpus is meant: the one given, else the one that the path names, else News.

    Raises:
        UnknownNameError: There is no such corpus.
        ConfigurationError: The path names another one, or a corpus is asked for that cannot be generated.

    >>> corpus_of("muse-bench/MUSE-Books", None), corpus_of(None, None)
    ('Books', 'News')
    """
    known = get_args(Corpus)
    if corpus is not None and corpus not in known:
        raise UnknownNameError.among("corpus", corpus, known)
    named: dict[str, Corpus] = {f"muse-{name.lower()}": name for name in known}
    found = named.get(Path(path).name.lower()) if path is not None else None
    if path is None and corpus == "Books":
        raise ConfigurationError(
            "`corpus` must be 'News' where `path` is unset: news are generated, books are not. Found 'Books'. Name a "
            "folder in the hub's layout or muse-bench/MUSE-Books as `path`, or use corpus=News."
        )
    if corpus is not None and found is not None and found != corpus:
        raise ConfigurationError(
            f"`corpus` must be the one that `path` names, {found!r}. Found {corpus!r} with {path!r}. Leave it unset."
        )
    return found or ("Books" if corpus == "Books" else "News")


def load_muse(
    path: str | None,
    configuration: str,
    split: str,
    *,
    corpus: Corpus = "News",
    articles: int = 100,
    questions: int = 3,
    seed: int = 0,
) -> list[Row]:
    """Return the rows of one split: dicts with ``text``, with ``prompt`` and ``gt``, or ``question`` and ``answer``.

    Args:
        path: Folder in the hub's layout, a folder that holds ``MUSE-News`` and ``MUSE-Books``, a data set's name on
            the hub, or None for generated news.
        configuration: ``raw``, ``verbmem``, ``knowmem``, ``privleak``, ``scal``, ``sust`` or ``train``.
        split: Name such as ``forget`` or ``forget_2``.
        corpus: Which of the folders, where ``path`` holds both; and what messages call it.
        articles: Number of generated articles.
        questions: Questions about each of them.
        seed: Seed of the generated news.

    Raises:
        DataNotFoundError: The folder, a file, the configuration, the split or the hub cannot be found.
        DataError: A row has not the columns it needs, or there is none.
    """
    if path is None:
        generated = _generated(articles, questions, seed)
        _require_split(generated, configuration, split, "the generated corpus News")
        return generated[configuration][split]
    folder = Path(path).expanduser()
    if folder.is_dir():
        inner = folder / f"MUSE-{corpus}"
        rows = _read_folder(inner if inner.is_dir() else folder, corpus, configuration, split)
    else:
        rows = _read_hub(path if "/" in path else f"{path}/MUSE-{corpus}", configuration, split)
    return _checked(rows, configuration, split, path)


def _checked(rows: list[Row], configuration: str, split: str, path: str) -> list[Row]:
    place = f"{configuration}/{split} of {path!r}"
    for number, row in enumerate(rows, start=1):
        for column in _COLUMNS.get(configuration, ("text",)):
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise DataError(
                    f"`path` must give every row of {place} a column {column!r} with text in it. Found "
                    f"{row.get(column)!r} in row {number}. Fill it in, or take the row out."
                )
    if not rows:
        raise DataError(f"`path` must give {place} rows. Found none. Put the rows back.")
    return rows


def _require_split(known: dict[str, Any], configuration: str, split: str, place: str) -> None:
    """Refuse what a corpus does not have.

    Raises:
        DataNotFoundError: It has no such configuration or split; the message lists what it has.
    """
    if split in known.get(configuration, ()):
        return
    there = "; ".join(f"{name} ({', '.join(splits)})" for name, splits in known.items())
    raise DataNotFoundError(
        f"`path` must lead to a corpus with the split {split!r} of {configuration!r}. Found no such "
        f"{'split' if configuration in known else 'configuration'} in {place}; there are {there}. Choose another "
        "forget set or corpus (MUSE has `scal` and `sust` for News alone), or add the file and its entry in README.md."
    )


# ---------------------------------------------------------------------------------------- folder


def _layout(folder: Path) -> dict[str, dict[str, str]]:
    """Return file pattern by split by configuration, from the front matter of the folder's README."""
    import yaml

    readme = folder / "README.md"
    parts = readme.read_text(encoding="utf-8").split("---") if readme.is_file() else []
    try:
        front: Any = yaml.safe_load(parts[1])
        found = {
            str(entry["config_name"]): {str(one["split"]): str(one["path"]) for one in entry["data_files"]}
            for entry in front["configs"]
        }
    except (IndexError, KeyError, TypeError, yaml.YAMLError):
        found = {}
    if not found:
        raise DataNotFoundError(
            "`path` must be a folder in the hub's layout: a file for each split, and a README.md whose front matter "
            f"lists configurations with their splits. Found {folder} without such a README.md. Copy the one of "
            f"{HUB_NAME}, or write a folder with unlearnkit.synthetic.write_news_folder."
        )
    return found


def _read_folder(folder: Path, corpus: Corpus, configuration: str, split: str) -> list[Row]:
    layout = _layout(folder)
    _require_split(layout, configuration, split, f"the corpus {corpus} in {folder}")
    files = sorted(folder.glob(layout[configuration][split]))
    if not files:
        raise DataNotFoundError(
            f"`path` must hold the files that its README.md lists. Found no {layout[configuration][split]} in "
            f"{folder}. Put the file there, or take its entry out of README.md."
        )
    return [row for file in files for row in _read_file(file)]


def _read_file(file: Path) -> list[Row]:
    builder = _BUILDERS.get(file.suffix)
    if builder is None:
        raise DataError(
            f"`path` must hold files of type {', '.join(_BUILDERS)}. Found {file}. Convert it to one of them."
        )
    if builder == "json":
        return [
            json_object(line, file, number)
            for number, line in enumerate(_lines(file), start=1)
            if line.strip()
        ]
    import datasets

    with without_progress_bars():
        rows: Any = datasets.load_dataset(builder, data_files=str(file), split="train", streaming=True)
        return [dict(row) for row in rows]


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().split(b"\n")


# -------------------------------------------------------------------------------------- datasets


def _read_hub(name: str, configuration: str, split: str) -> list[Row]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    try:
        with without_progress_bars():
            rows: Any = datasets.load_dataset(name, configuration, split=split)
            return [dict(row) for row in rows]
    except (ConnectionError, OSError, DatasetNotFoundError) as error:
        raise DataNotFoundError(
            f"`path` must be a folder that is there, or the name of a data set on the hub. Found {name!r}, which is "
            f"neither a folder nor within reach ({type(error).__name__}). Without a network give the path of a folder "
            f"in the hub's layout (e.g. a download of {HUB_NAME}), set HF_HOME to a cache that holds it, or leave "
            "`path` unset for generated news."
        ) from error
    except ValueError as error:
        known = re.search(r"(?:Available:|one of) \[(.*)\]", str(error))
        if known is None:
            raise
        there = re.findall(r"'([^']+)'", known[1])
        layout = (
            {configuration: there} if "split" in str(error).lower() else {found: ["..."] for found in there}
        )
        _require_split(layout, configuration, split, f"the corpus {name}")
        raise


@lru_cache(maxsize=4)
def _generated(articles: int, questions: int, seed: int) -> dict[str, dict[str, list[Row]]]:
    from unlearnkit.synthetic import fictitious_news

    made: dict[str, dict[str, list[Row]]] = fictitious_news(articles, questions, seed)
    return made
