"""Labelled image tables: data sets of the hub, and folders in its layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unlearnkit.datamodules.without_progress_bars import without_progress_bars
from unlearnkit.errors import DataError, DataNotFoundError

Part = Literal["train", "test"]

PARTS: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("test", "valid", "validation", "val")}
"""What the parts are called in data sets, the first that is there counts."""

INFO_FILES = ("README.md", "dataset_infos.json", "dataset_info.json")
"""What describes a data set in the hub's layout, beside the metadata of its parquet files."""


@dataclass(frozen=True)
class ImageTable:
    """One part of a data set whose images are not decoded yet.

    Attributes:
        pictures: Gives each row's place, for messages, and its file's content.
        labels: Class of each row.
        classes: Name of each class.
    """

    pictures: Iterable[tuple[str, bytes]]
    labels: list[int]
    classes: list[str]


def open_table(name: str, part: Part) -> ImageTable:
    """Open one part of a data set.

    Args:
        name: A folder in the hub's layout, or a name on the hub.
        part: ``train`` or ``test``; a set without a test part gives its validation part.

    Raises:
        DataNotFoundError: There is no such data set, or it lacks the part.
        DataError: A file is damaged or describes other data, or there is no image column, or a row without a label.
    """
    import datasets

    with without_progress_bars():
        found, split = _part(name, part)
        image, label = _columns(found, name)
        labels, classes = _labels(found, label, name, split)
        rows = found.cast_column(image, datasets.Image(decode=False))
        return ImageTable(_contents(rows, image, name, split), labels, classes)


def no_part(source: str, part: Part, known: Iterable[str]) -> DataNotFoundError:
    """Return the error for a data set without a part."""
    return DataNotFoundError(
        f"`source` must have a part called {' or '.join(PARTS[part])}. Found only {', '.join(known) or 'nothing'} in "
        f"{source!r}. Name its parts so."
    )


def _contents(rows: Any, image: str, name: str, split: str) -> Iterator[tuple[str, bytes]]:
    for number, row in enumerate(rows):
        cell = row[image] or {}
        content, path = cell.get("bytes"), Path(cell.get("path") or "")
        if content is None and not path.is_file():
            raise DataError(
                f"`source` must have an image in each row. Found none in {name!r}: {split}, row {number}. "
                "Remove the row, or put its image in."
            )
        yield f"{split}, row {number}", path.read_bytes() if content is None else content


def _part(name: str, part: Part) -> tuple[Any, str]:
    import datasets
    import yaml
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        known = datasets.get_dataset_split_names(name)
        split = next((split for split in PARTS[part] if split in known), None)
        found = None if split is None else datasets.load_dataset(name, split=split)
    except (ConnectionError, DatasetNotFoundError, FileNotFoundError) as error:
        if any((Path(name) / info).is_file() for info in INFO_FILES):
            raise _unfit(name, error) from error
        raise DataNotFoundError(
            f"`source` must be 'digits', a folder that is there, or the name of a data set on the hub. Found {name!r}, "
            f"which is neither a folder with images nor within reach ({type(error).__name__}). Without a network give "
            "the path of a folder in the hub's layout, or of train/<class>/ and test/<class>/ with pictures."
        ) from error
    except (DatasetsError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise _unfit(name, error) from error
    if split is None:
        raise no_part(name, part, known)
    return found, split


def _unfit(name: str, error: BaseException) -> DataError:
    """Return the error for files that are damaged, or described as others than they are."""
    while error.__cause__ is not None:
        error = error.__cause__
    why = str(error).strip().partition("\n")[0]
    return DataError(
        f"`source` must hold whole files in the hub's layout whose descriptions fit them. Found {name!r}, of which "
        f"{_damaged(name)} cannot be used ({type(error).__name__}: {why}). Fetch that file again, or remove a "
        "description that is not of these data."
    )


def _damaged(name: str) -> str:
    """Name the file of a folder that is broken, or else those that may not fit."""
    import pyarrow.parquet  # type: ignore[import-untyped]
    import yaml

    folder = Path(name)
    described = [folder / info for info in INFO_FILES if (folder / info).is_file()]
    for path in [*described, *sorted(folder.rglob("*.parquet"))]:
        try:
            if path.suffix == ".parquet":
                metadata = pyarrow.parquet.read_schema(path).metadata or {}
                json.loads(metadata.get(b"huggingface", b"{}"))
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            else:
                yaml.safe_load("".join(path.read_text(encoding="utf-8").split("---")[1:2]))
        except (ValueError, OSError, yaml.YAMLError):  # of pyarrow and json, too
            return path.relative_to(folder).as_posix()
    return " or ".join(path.name for path in described) or "its metadata"


def _columns(found: Any, name: str) -> tuple[str, str]:
    """Return the names of the image column and of the finest label column."""
    import datasets

    images = [
        column
        for column, kind in found.features.items()
        # Without the hub's metadata the column is what it is made of.
        if isinstance(kind, datasets.Image) or (isinstance(kind, dict) and set(kind) == {"bytes", "path"})
    ]
    labels = [column for column in ("label", "fine_label", "labels") if column in found.features]
    labels += [
        c for c, kind in found.features.items() if isinstance(kind, datasets.ClassLabel) and c not in labels
    ]
    if not images or not labels:
        raise DataError(
            f"`source` must have a column of images and one of labels. Found {sorted(found.features)} in {name!r}. "
            "Choose a data set for image classification."
        )
    return images[0], labels[0]


def _labels(found: Any, column: str, name: str, split: str) -> tuple[list[int], list[str]]:
    """Return the number of each row's class, and the names of the classes."""
    values, named = list(found[column]), getattr(found.features[column], "names", None)
    missing = next((row for row, value in enumerate(values) if value is None), None)
    if missing is not None:
        raise DataError(
            f"`source` must have a label for each image. Found none in {name!r}: {split}, row {missing}. "
            "Give the row a label, or lay pictures out as train/<class>/ and test/<class>/."
        )
    if all(isinstance(value, str) for value in values):
        classes = sorted(set(values))
        return [classes.index(value) for value in values], classes
    outside = [
        row
        for row, value in enumerate(values)
        if not isinstance(value, int) or value < 0 or (named is not None and value >= len(named))
    ]
    if outside:
        most = (
            f"from 0 to {len(named) - 1}, as its {len(named)} names of classes say" if named else "from 0 on"
        )
        raise DataError(
            f"`source` must have whole numbers {most}, for labels. Found {values[outside[0]]!r} in {name!r}: "
            f"{split}, row {outside[0]}. Use a part that has labels, or name all classes."
        )
    return values, list(named) if named else [str(number) for number in range(max(values, default=-1) + 1)]
