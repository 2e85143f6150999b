"""A confusion table as a small heat map: what the images of each class are taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.plots.figure import notebook_axes
from unlearnkit.plots.palette import ROLES, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORGOTTEN = "#D55E00"
"""Frame of a forgotten class's row."""


def confusion_map(
    counts: Mapping[str, Mapping[str, int]],
    classes: Sequence[str],
    forgotten: Sequence[str] = (),
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw the share of the images of each label (a row) that is taken for each class (a column), 0 to 1.

    A class without images is an empty row.

    Args:
        counts: Label -> predicted class -> images; what is missing is 0.
        classes: Names in their order, not more than 20.
        forgotten: Classes whose row is framed.
        ax: Axes to draw on; None makes a figure 6 inches wide.
        title: Above the Axes.

    Returns:
        The Axes; its one image holds the shares.

    Raises:
        ConfigurationError: There are more than 20 classes, whose names could not be read.
        UnknownNameError: A forgotten class is not among them.

    >>> axes = confusion_map({"cat": {"cat": 3, "dog": 1}, "dog": {"cat": 2}}, ["cat", "dog"])
    >>> axes.images[0].get_array().tolist()
    [[0.75, 0.25], [1.0, 0.0]]
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    if len(classes) > 20:
        raise ConfigurationError(
            f"`classes` must be 20 at most, so that their names can be read. Found {len(classes)}. "
            "Draw the classes of interest only."
        )
    for name in forgotten:
        if name not in classes:
            raise UnknownNameError.among("forgotten", name, classes)
    sums = {name: max(1, sum(counts.get(name, {}).values())) for name in classes}
    shares = [[counts.get(row, {}).get(column, 0) / sums[row] for column in classes] for row in classes]
    with figure_style():
        axes = notebook_axes(4.4) if ax is None else ax
        colors = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", ROLES["unlearned"].color, "#00273D"])
        axes.imshow(shares, cmap=colors, vmin=0.0, vmax=1.0)
        axes.grid(False)
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=90 if max(map(len, classes), default=0) > 2 else 0)
        axes.set_yticks(places, classes)
        for name in forgotten:
            row = classes.index(name)
            frame = Rectangle(
                (-0.5, row - 0.5),
                len(classes),
                1,
                fill=False,
                edgecolor=FORGOTTEN,
                linewidth=1.6,
                clip_on=False,
            )
            frame.set_gid(f"forgotten:{name}")
            axes.add_patch(frame)
        axes.set_xlabel("taken for")
        axes.set_ylabel("class")
        axes.set_title(title)
    return axes
