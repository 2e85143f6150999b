"""Read whole image data sets once, as bytes on the CPU: digits, folders, the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unlearnkit.datamodules.without_progress_bars import without_progress_bars
from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError

Part = Literal["train", "test"]

PARTS: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("test", "valid", "validation", "val")}
"""What the parts are called in data sets, the first that is there counts."""

DIGITS_TRAIN = 1200
"""Of scikit-learn's 1797 digits those that are trained on; the others are the test set."""

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass(frozen=True)
class ImageSet:
    """Images of one size with their labels.

    Attributes:
        images: [n, channels, height, width], uint8; 1 channel or 3.
        labels: [n], int64.
        classes: Name of each class.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of pixels and labels; computed once for all runs that share a set."""
        content = hashlib.sha256(self.images.numpy().tobytes())
        content.update(self.labels.numpy().tobytes())
        return content.hexdigest()[:16]


@lru_cache(maxsize=4)
def load_images(source: str, part: Part = "train", size: int | None = None) -> ImageSet:
    """Read one part of a data set; the last four that were read are kept in memory.

    Args:
        source: ``digits`` (scikit-learn's, no network), a folder in the hub's layout, a folder of
            ``train/<class>/*.png`` and ``test/<class>/*.png``, or a name on the hub.
        part: ``train`` or ``test``; a set without a test part gives its validation part.
        size: Height and width to which images are scaled; None wants all of one size already.

    Returns:
        The images, decoded to bytes. Grey ones among colour ones get three channels.

    Raises:
        DataNotFoundError: There is no such data set, or it lacks the part.
        DataError: An image cannot be decoded (the file and the row are named), or is of another size than the others.
        ConfigurationError: ``size`` is below 1.

    >>> digits = load_images("digits")
    >>> tuple(digits.images.shape), digits.classes[:2]
    ((1200, 1, 8, 8), ('0', '1'))
    """
    if size is not None and size < 1:
        raise ConfigurationError(
            f"`size` must be at least 1. Found {size}. Leave it unset to keep images as they are."
        )
    if source == "digits":
        return _digits(part)
    folder = Path(source).expanduser()
    if folder.is_dir():
        if any(not found.parent.name.startswith(".") for found in folder.glob("*/*/")):
            return _tree(folder, part, size)
        return _hub(str(folder), part, size)
    return _hub(source, part, size)


def _digits(part: Part) -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
    rows = order[:DIGITS_TRAIN] if part == "train" else order[DIGITS_TRAIN:]
    # 17 levels of grey become 0 to 255: what is normalised later is of one kind for all sets.
    images = torch.tensor(bunch.images[rows] * (255 / 16)).round().to(torch.uint8)[:, None]
    return ImageSet(images, torch.tensor(bunch.target[rows], dtype=torch.int64), tuple("0123456789"))


def _tree(folder: Path, part: Part, size: int | None) -> ImageSet:
    """Read a folder of pictures, one folder a class."""
    name = next((name for name in PARTS[part] if (folder / name).is_dir()), None)
    if name is None:
        raise _no_part(str(folder), part, sorted(child.name for child in folder.iterdir() if child.is_dir()))
    classes = sorted(child.name for child in (folder / name).iterdir() if child.is_dir())
    files = [
        (path, label)
        for label, kind in enumerate(classes)
        for path in sorted((folder / name / kind).rglob("*"))
        if path.suffix.lower() in PICTURES
    ]
    pictures = ((str(path.relative_to(folder)), path.read_bytes()) for path, _ in files)
    return _decoded(pictures, [label for _, label in files], classes, size, str(folder))


def _hub(name: str, part: Part, size: int | None) -> ImageSet:
    import datasets

    with without_progress_bars():
        found, split = _part(name, part)
        image, label = _columns(found, name)
        kinds = found.features[label]
        classes = getattr(kinds, "names", None) or [str(n) for n in range(int(max(found[label])) + 1)]
        rows = found.cast_column(image, datasets.Image(decode=False))
        pictures = ((f"{split}, row {number}", row[image]) for number, row in enumerate(rows))
        return _decoded(
            ((place, cell["bytes"] or Path(cell["path"]).read_bytes()) for place, cell in pictures),
            list(found[label]),
            classes,
            size,
            name,
        )


def _part(name: str, part: Part) -> tuple[Any, str]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    try:
        known = datasets.get_dataset_split_names(name)
        split = next((split for split in PARTS[part] if split in known), None)
        found = None if split is None else datasets.load_dataset(name, split=split)
    except (ConnectionError, DatasetNotFoundError, FileNotFoundError) as error:
        raise DataNotFoundError(
            f"`source` must be 'digits', a folder that is there, or the name of a data set on the hub. Found {name!r}, "
            f"which is neither a folder with images nor within reach ({type(error).__name__}). Without a network give "
            "the path of a folder in the hub's layout, or of train/<class>/ and test/<class>/ with pictures."
        ) from error
    if split is None:
        raise _no_part(name, part, known)
    return found, split


def _columns(found: Any, name: str) -> tuple[str, str]:
    """Return the names of the image column and of the finest label column."""
    import datasets

    images = [column for column, kind in found.features.items() if isinstance(kind, datasets.Image)]
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


def _decoded(
    pictures: Iterable[tuple[str, bytes]],
    labels: list[int],
    classes: Iterable[str],
    size: int | None,
    source: str,
) -> ImageSet:
    """Decode all pictures, in grey where all are grey."""
    from PIL import Image, UnidentifiedImageError

    arrays: list[np.ndarray[Any, Any]] = []
    grey = True
    for place, content in pictures:
        try:
            with Image.open(BytesIO(content)) as picture:
                grey = grey and picture.mode in ("L", "1")
                converted = picture.convert("RGB")
                if size is not None and converted.size != (size, size):
                    converted = converted.resize((size, size), Image.Resampling.BICUBIC)
                array = np.asarray(converted)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"`source` must hold images that can be decoded. Found one that cannot in {source!r}: {place} "
                f"({type(error).__name__}: {error}). Replace or remove it."
            ) from error
        if arrays and array.shape != arrays[0].shape:
            raise DataError(
                f"`source` must hold images of one size, or `size` be given. Found {array.shape[1]} x "
                f"{array.shape[0]} at {place} of {source!r} after {arrays[0].shape[1]} x {arrays[0].shape[0]}. "
                "Set e.g. size=64."
            )
        arrays.append(array)
    if not arrays:
        raise DataError(f"`source` must hold at least one image. Found none in {source!r}. Check the folder.")
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images[:, :1].clone() if grey else images, torch.tensor(labels), tuple(classes))


def _no_part(source: str, part: Part, known: Iterable[str]) -> DataNotFoundError:
    return DataNotFoundError(
        f"`source` must have a part called {' or '.join(PARTS[part])}. Found only {', '.join(known) or 'nothing'} in "
        f"{source!r}. Name its parts so."
    )
