"""Read whole image data sets once, as bytes on the CPU: digits, folders, the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearnkit.datamodules.image_tables import PARTS, Part, no_part, open_table
from unlearnkit.errors import ConfigurationError, DataError

DIGITS_TRAIN = 1200
"""Of scikit-learn's 1797 digits those that are trained on; the others are the test set."""

GREY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's names of pixels without colour."""

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
        size: Height and width to which images are scaled, of oblong ones the middle; None wants all square and of one
            size already.

    Returns:
        The images, decoded to bytes; 16 bits of grey become 8. Grey ones among colour ones get three channels.

    Raises:
        DataNotFoundError: There is no such data set, or it lacks the part.
        DataError: An image cannot be decoded (the file and the row are named), is oblong or of another size than the
            others, or a file that describes the data is damaged.
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
        return _digits(part, size)
    folder = Path(source).expanduser()
    if folder.is_dir():
        if any(not found.parent.name.startswith(".") for found in folder.glob("*/*/")):
            return _tree(folder, part, size)
        return _hub(str(folder), part, size)
    return _hub(source, part, size)


def _digits(part: Part, size: int | None) -> ImageSet:
    from PIL import Image
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
    rows = order[:DIGITS_TRAIN] if part == "train" else order[DIGITS_TRAIN:]
    # 17 levels of grey become 0 to 255: what is normalised later is of one kind for all sets.
    levels = torch.tensor(bunch.images[rows] * (255 / 16)).round().to(torch.uint8)
    scaled = [np.asarray(_scaled(Image.fromarray(level), size)) for level in levels.numpy()]
    labels = torch.tensor(bunch.target[rows], dtype=torch.int64)
    return ImageSet(torch.from_numpy(np.stack(scaled))[:, None], labels, tuple("0123456789"))


def _tree(folder: Path, part: Part, size: int | None) -> ImageSet:
    """Read a folder of pictures, one folder a class."""
    name = next((name for name in PARTS[part] if (folder / name).is_dir()), None)
    if name is None:
        raise no_part(str(folder), part, sorted(child.name for child in folder.iterdir() if child.is_dir()))
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
    table = open_table(name, part)
    return _decoded(table.pictures, table.labels, table.classes, size, name)


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
                grey = grey and picture.mode in GREY
                array = np.asarray(_scaled(_eight_bits(picture).convert("RGB"), size))
        except (
            UnidentifiedImageError,
            Image.DecompressionBombError,
            OSError,
            SyntaxError,
            ValueError,
        ) as error:
            why = "no kind of picture that is known" if isinstance(error, UnidentifiedImageError) else error
            raise DataError(
                f"`source` must hold images that can be decoded. Found one that cannot in {source!r}: {place} "
                f"({type(error).__name__}: {why}). Replace or remove it."
            ) from error
        height, width = array.shape[:2]
        if height != width:
            raise DataError(
                f"`source` must hold square images, or `size` be given. Found {width} x {height} at {place} of "
                f"{source!r}. Set e.g. size={min(height, width)}, which scales and keeps the middle."
            )
        if arrays and array.shape != arrays[0].shape:
            raise DataError(
                f"`source` must hold images of one size, or `size` be given. Found {width} x {height} at {place} of "
                f"{source!r} after {arrays[0].shape[1]} x {arrays[0].shape[0]}. Set e.g. size=64."
            )
        arrays.append(array)
    if not arrays:
        raise DataError(f"`source` must hold at least one image. Found none in {source!r}. Check the folder.")
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images[:, :1].clone() if grey else images, torch.tensor(labels), tuple(classes))


def _eight_bits(picture: Any) -> Any:
    """Bring 16 bits of grey to 8, which Pillow's own conversion cuts off at 255.

    Raises:
        ValueError: The pixels are numbers of no known range.
    """
    from PIL import Image

    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of type {picture.mode!r} have no known range; save it with 8 or 16 bits")
    return picture


def _scaled(picture: Any, size: int | None) -> Any:
    """Scale a picture so that its shorter side has this size, and keep the middle; None leaves it."""
    from PIL import Image, ImageOps

    if size is None or picture.size == (size, size):
        return picture
    return ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
