"""Read preference pairs from a folder or file with a public data set's columns, or from the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from unlearnkit.datamodules.json_lines import json_object
from unlearnkit.datamodules.preferences_fields import Form, Prefer, PreferencePair, Row, form_of, parser
from unlearnkit.datamodules.without_progress_bars import without_progress_bars
from unlearnkit.errors import DataError, DataNotFoundError, UnknownNameError

SPLITS: dict[str, tuple[str, ...]] = {
    "safe_rlhf": ("train",),
    "ultrafeedback": ("train_prefs", "train"),
    "halueval": ("data", "train"),
    "pairs": ("train",),
}
"""Splits to train on, by form; the first one there is taken."""

_SUFFIXES = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}


def load_preferences(
    path: str,
    *,
    form: Form | None = None,
    configuration: str | None = None,
    prefer: Prefer = "safer",
    split: str | None = None,
) -> list[PreferencePair]:
    """Return all pairs of a data set.

    In a folder, files of a split are those (``.jsonl``, ``.json`` of JSON lines, ``.parquet``) with the split's name in
    theirs, at any depth, as ``data/Alpaca-7B/train.jsonl`` or ``train_prefs-00000-of-00001.parquet``.

    Args:
        path: A folder, a file, or a name on the hub (``PKU-Alignment/PKU-SafeRLHF``,
            ``HuggingFaceH4/ultrafeedback_binarized``, ``pminervini/HaluEval``).
        form: Whose columns; None tells it from the columns, or on the hub from the name.
        configuration: Of HaluEval ``qa`` (None), ``dialogue`` or ``summarization``; a configuration on the hub; in a
            folder, what must stand in the files' paths.
        prefer: Which of SafeRLHF's labels counts. The paper does not say which one it takes.
        split: Which split; None takes the one to train on.

    Raises:
        DataNotFoundError: The folder, its files or the hub cannot be found.
        DataError: A row is no JSON object, lacks a field, or its two conversations have different prompts.
        UnknownNameError: ``form`` or ``prefer`` is no name that exists.
        ConfigurationError: Nothing tells the form of a data set on the hub.
    """
    if form is not None and form not in get_args(Form):
        raise UnknownNameError.among("form", str(form), get_args(Form))
    if prefer not in get_args(Prefer):
        raise UnknownNameError.among("prefer", str(prefer), get_args(Prefer))
    place = Path(path).expanduser()
    if place.exists():
        rows, place_name = list(_read_files(place, form, configuration, split)), str(place)
    else:
        form = form or _form_of_name(path)
        rows, place_name = _read_hub(path, form, configuration, split), path
    if not rows:
        raise DataError(f"`path` must give rows. Found none in {place_name!r}. Put the rows back.")
    found = form or form_of(rows[0], place_name)
    parse = parser(found, configuration, prefer)
    return [parse(row, number, f"row {number} of {place_name!r}") for number, row in enumerate(rows)]


def _form_of_name(path: str) -> Form:
    plain = re.sub("[^a-z]", "", path.lower())
    names: dict[str, Form] = {
        "saferlhf": "safe_rlhf",
        "ultrafeedback": "ultrafeedback",
        "halueval": "halueval",
    }
    for name, form in names.items():
        if name in plain:
            return form
    raise DataNotFoundError(
        "`path` must be a file or folder that is there, or a data set on the hub whose form is told by its name or by "
        f"`form`. Found {path!r}, which is neither. Check the path, set form=pairs, or leave `path` unset for "
        "generated pairs."
    )


# ----------------------------------------------------------------------------------------- files


def _read_files(
    place: Path, form: Form | None, configuration: str | None, split: str | None
) -> Iterator[Row]:
    if place.is_file():
        yield from _read_file(place)
        return
    files = sorted(file for file in place.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    if configuration is not None:
        files = [file for file in files if configuration in file.relative_to(place).as_posix()]
    names = [split] if split else SPLITS[form] if form else ("train_prefs", "train", "data")
    for name in names:
        found = [file for file in files if re.search(rf"(^|[^a-z]){name}($|[^a-z])", file.stem)]
        if found:
            for file in found:
                yield from _read_file(file)
            return
    raise DataNotFoundError(
        f"`path` must be a folder with files of a split ({' or '.join(names)}) as .jsonl, .json or .parquet. Found "
        f"{', '.join(file.name for file in files[:5]) or 'no such file'} in {str(place)!r}. Name the file itself as "
        "`path`, or leave `path` unset for generated pairs."
    )


def _read_file(file: Path) -> Iterator[Row]:
    if file.suffix == ".parquet":
        import datasets

        with without_progress_bars():
            rows: Any = datasets.load_dataset("parquet", data_files=str(file), split="train", streaming=True)
            yield from (dict(row) for row in rows)
        return
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield json_object(line, file, number)


def _read_hub(path: str, form: Form, configuration: str | None, split: str | None) -> list[Row]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    if form == "halueval" and configuration is None:
        configuration = "qa"
    try:
        with without_progress_bars():
            rows: Any = datasets.load_dataset(path, configuration, split=split or SPLITS[form][0])
            return [dict(row) for row in rows]
    except (ConnectionError, OSError, DatasetNotFoundError, ValueError) as error:
        raise DataNotFoundError(
            f"`path` must be a file or folder that is there, or a data set on the hub with the split "
            f"{split or SPLITS[form][0]!r}. Found {path!r}, which could not be read ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0][:100]}). Without a network give the path of a download, set HF_HOME to "
            "a cache that holds it, or leave `path` unset for generated pairs."
        ) from error
