"""Read TOFU's configurations: generated ones, a local folder in the hub's layout, or the hub."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearnkit.datamodules.without_progress_bars import without_progress_bars
from unlearnkit.errors import DataError, DataNotFoundError

Row = dict[str, Any]

HUB_NAME = "locuslab/TOFU"


def load_tofu(
    path: str | None, configuration: str, *, authors: int = 40, questions: int = 10, seed: int = 0
) -> list[Row]:
    """Return the rows of one configuration: dicts with ``question``, ``answer`` and, in ``*_perturbed``, more.

    A folder and a hub name are read by the same ``datasets`` code. A folder is read anew each time, never from
    the library's cache, so a changed file counts at once; and its files are checked line by line first.

    Args:
        path: Folder in the hub's layout, a data set name on the hub, or None for generated authors.
        configuration: Name such as ``full``, ``forget10``, ``retain90``, ``forget10_perturbed``.
        authors: Number of generated authors.
        questions: Questions about each generated author.
        seed: Seed of the generated authors.

    Raises:
        DataNotFoundError: The folder, the file, the configuration or the hub cannot be found.
        DataError: A line is not JSON, or has not the columns the configuration needs.
    """
    if path is None:
        generated = _generated(authors, questions, seed)
        if configuration not in generated:
            raise _no_configuration(configuration, "the generated authors", list(generated))
        return generated[configuration]
    folder = Path(path).expanduser()
    if folder.is_dir():
        check_file(_file_of(folder, configuration), configuration)
        return _read(str(folder), configuration, streaming=True)
    return _read_hub(path, configuration)


def columns_of(configuration: str) -> dict[str, type]:
    """Return the columns that each row of a configuration must have.

    >>> sorted(columns_of("real_authors_perturbed"))
    ['answer', 'perturbed_answer', 'question']
    """
    columns: dict[str, type] = {"question": str, "answer": str}
    if configuration.endswith("_perturbed"):
        columns["perturbed_answer"] = list
        if configuration.startswith(("forget", "retain")):
            columns["paraphrased_answer"] = str
    return columns


def check_file(file: Path, configuration: str) -> None:
    """Check each line of a JSON-lines file.

    Raises:
        DataError: A line is not a JSON object with the columns of the configuration, or there is none.
    """
    found = 0
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            found += 1
            try:
                row = json.loads(line.strip())
            except ValueError as error:  # not JSON, or not UTF-8
                reason = (
                    f"{error.msg} (column {error.colno})"
                    if isinstance(error, json.JSONDecodeError)
                    else error
                )
                raise DataError(
                    f"`path` must hold one JSON object a line. Found {reason} in {file}, "
                    f"line {number}. Mend or delete that line."
                ) from error
            for column, kind in columns_of(configuration).items():
                value = row.get(column) if isinstance(row, dict) else None
                if not isinstance(value, kind):
                    raise DataError(
                        f"`path` must give every row of {configuration!r} a column {column!r} of type "
                        f"{kind.__name__}. Found {type(value).__name__} in {file}, line {number}. "
                        "Add the column to that line."
                    )
    if not found:
        raise DataError(f"`path` must give {configuration!r} rows. Found none in {file}. Put the rows back.")


# ---------------------------------------------------------------------------------------- folder


def _configurations(folder: Path) -> dict[str, str]:
    """Return file name by configuration, from the front matter of the folder's README as the hub has it."""
    import yaml

    readme = folder / "README.md"
    parts = readme.read_text(encoding="utf-8").split("---") if readme.is_file() else []
    try:
        front: Any = yaml.safe_load(parts[1])
        found = {entry["config_name"]: _first_file(entry["data_files"]) for entry in front["configs"]}
    except (IndexError, KeyError, TypeError, yaml.YAMLError):
        found = {}
    if not found:
        raise DataNotFoundError(
            f"`path` must be a folder in the hub's layout: JSON-lines files, and a README.md whose front matter "
            f"lists configurations. Found {folder} without such a README.md. Copy the one of {HUB_NAME}."
        )
    return found


def _first_file(data_files: Any) -> str:
    """Return the one file behind any of the forms that a README gives it in."""
    while not isinstance(data_files, str):
        data_files = data_files["path"] if isinstance(data_files, dict) else data_files[0]
    return data_files


def _file_of(folder: Path, configuration: str) -> Path:
    files = _configurations(folder)
    if configuration not in files:
        raise _no_configuration(configuration, str(folder), list(files))
    # `datasets` looks for every file that the README lists, not only for the one asked for.
    missing = sorted(name for name in files.values() if not (folder / name).is_file())
    if missing:
        raise DataNotFoundError(
            f"`path` must hold every file that its README.md lists. Found no {', '.join(missing)} in {folder}. "
            "Put the file there, or take its configuration out of README.md."
        )
    return folder / files[configuration]


def _no_configuration(name: str, place: str, known: list[str]) -> DataNotFoundError:
    return DataNotFoundError(
        f"`configuration` must be one of those in {place}: {', '.join(sorted(known))}. Found {name!r}. "
        "Choose one of these, or add its file and its entry in README.md."
    )


# -------------------------------------------------------------------------------------- datasets


def _read(name: str, configuration: str, *, streaming: bool) -> list[Row]:
    import datasets

    with without_progress_bars():
        rows: Any = datasets.load_dataset(name, configuration, split="train", streaming=streaming)
        return [dict(row) for row in rows]


def _read_hub(name: str, configuration: str) -> list[Row]:
    from datasets.exceptions import DatasetNotFoundError

    remedy = (
        f"Without a network give the path of a folder in the hub's layout (README.md and JSON-lines files, e.g. a "
        f"download of {HUB_NAME}), set HF_HOME to a cache that holds it, or leave `path` unset for generated authors."
    )
    try:
        return _read(name, configuration, streaming=False)
    except (ConnectionError, OSError, DatasetNotFoundError) as error:
        raise DataNotFoundError(
            f"`path` must be a folder that is there, or the name of a data set on the hub. Found {name!r}, which "
            f"is neither a folder nor within reach ({type(error).__name__}). {remedy}"
        ) from error
    except ValueError as error:
        known = re.search(r"Available: \[(.*)\]", str(error))
        if known is None:
            raise
        raise _no_configuration(configuration, name, re.findall(r"'([^']+)'", known[1])) from error


@lru_cache(maxsize=4)
def _generated(authors: int, questions: int, seed: int) -> dict[str, list[Row]]:
    from unlearnkit.synthetic import fictitious_authors

    return fictitious_authors(authors=authors, questions=questions, seed=seed)
