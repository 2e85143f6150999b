"""A grid of generated images: a column for each class, forgotten ones framed, a block of rows for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.plots.confusion_map import FORGOTTEN
from unlearnkit.plots.figure import notebook_axes
from unlearnkit.plots.palette import FIGURE_WIDTH, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 0.12
"""White between two images, in heights of an image."""

BETWEEN = 0.5
"""White between two blocks, in heights of an image."""


def sample_grid(
    samples: Mapping[str, Any],
    classes: Sequence[str],
    forgotten: Sequence[str] = (),
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw generated images of each class before and after, one block of rows above the other.

    Args:
        samples: Name of each model -> its images, [classes, k, channels, height, width] of bytes, 1 channel or 3; an
            array or a tensor.
        classes: Names of the columns.
        forgotten: Classes whose column is framed.
        ax: Axes to draw on; None makes a figure 6 inches wide.
        title: Above the Axes.

    Returns:
        The Axes; each image is an ``AxesImage``.

    Raises:
        ConfigurationError: There is no model, or its images are not of these classes.
        UnknownNameError: A forgotten class is not among them.

    >>> images = np.zeros((2, 3, 1, 8, 8), dtype=np.uint8)
    >>> len(sample_grid({"before": images, "after": images}, ["cat", "dog"], ["cat"]).images)
    12
    """
    from matplotlib.patches import Rectangle

    blocks = {name: np.asarray(images) for name, images in samples.items()}
    _check(blocks, classes, forgotten)
    heights = [images.shape[1] * (1 + GAP) + BETWEEN for images in blocks.values()]
    height = grid_height(classes, [images.shape[1] for images in blocks.values()])
    with figure_style():
        axes = notebook_axes(height) if ax is None else ax
        top = 0.0
        middles = []
        for images, own_height in zip(blocks.values(), heights, strict=True):
            for column, own in enumerate(images):
                for row, image in enumerate(own):
                    left, up = column * (1 + GAP), top + row * (1 + GAP)
                    axes.imshow(
                        image[0] if len(image) == 1 else image.transpose(1, 2, 0),
                        cmap="gray",
                        vmin=0,
                        vmax=255,
                        extent=(left, left + 1, up + 1, up),
                        interpolation="nearest",
                    )
            middles.append(top + (own_height - BETWEEN - GAP) / 2)
            for name in forgotten:
                frame = Rectangle(
                    (list(classes).index(name) * (1 + GAP) - GAP / 2, top - GAP / 2),
                    1 + GAP,
                    own_height - BETWEEN,
                    fill=False,
                    edgecolor=FORGOTTEN,
                    linewidth=1.8,
                    clip_on=False,
                )
                frame.set_gid(f"forgotten:{name}")
                axes.add_patch(frame)
            top += own_height
        axes.set_xlim(-GAP, len(classes) * (1 + GAP))
        axes.set_ylim(top - BETWEEN, -GAP)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.set_xticks(
            [column * (1 + GAP) + 0.5 for column in range(len(classes))],
            classes,
            rotation=90 * _turned(classes),
        )
        axes.set_yticks(middles, list(blocks))
        axes.set_title(title)
    return axes


def grid_height(classes: Sequence[str], rows: Sequence[int]) -> float:
    """Return the height of a figure, in inches, whose images fill its width.

    Args:
        classes: Names of the columns.
        rows: Number of rows of each block.

    >>> 3.5 < grid_height("0123456789", [3, 3]) < 4.5
    True
    """
    names = 0.085 * max(map(len, classes)) if _turned(classes) else 0.2
    images = sum(count * (1 + GAP) + BETWEEN for count in rows) - BETWEEN
    return 0.3 + names + (FIGURE_WIDTH - 1.0) / (len(classes) * (1 + GAP)) * images


def _turned(classes: Sequence[str]) -> bool:
    """Say whether names would touch side by side."""
    return max(map(len, classes)) * len(classes) > 60


def _check(blocks: Mapping[str, Any], classes: Sequence[str], forgotten: Sequence[str]) -> None:
    """Refuse what cannot be drawn."""
    if not blocks or not classes:
        raise ConfigurationError(
            f"`samples` must hold images of a model and a class. Found {len(blocks)} models, {len(classes)} classes. "
            "Give e.g. {'before': images}."
        )
    for name, images in blocks.items():
        right = images.ndim == 5 and len(images) == len(classes) and images.shape[2] in (1, 3)
        if not right or images.dtype != np.uint8:
            raise ConfigurationError(
                f"`samples` must be bytes of shape [{len(classes)}, k, 1 or 3, height, width], a row of images for "
                f"each class. Found {images.dtype} of shape {list(images.shape)} for {name!r}. "
                "Give what the evaluation holds."
            )
    for name in forgotten:
        if name not in classes:
            raise UnknownNameError.among("forgotten", name, classes)
