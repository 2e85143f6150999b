"""Make an Axes of our form, and turn a drawn one into bytes or files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.plots.palette import FIGURE_WIDTH, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 200
"""Dots per inch of a saved PNG: 1200 wide."""


def notebook_axes(height: float = 3.8) -> Axes:
    """Return the Axes of a new pyplot figure, which a notebook shows by itself.

    Args:
        height: Of the figure, in inches.
    """
    import matplotlib.pyplot as plt

    with figure_style():
        _, axes = plt.subplots(figsize=(FIGURE_WIDTH, height))
    return axes


def file_axes(height: float = 3.8) -> Axes:
    """Return the Axes of a new figure that pyplot does not know: for files, it needs no closing.

    Args:
        height: Of the figure, in inches.

    >>> float(file_axes().figure.get_figwidth())
    6.0
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(FIGURE_WIDTH, height))
        FigureCanvasAgg(figure)
        return figure.add_subplot()


def file_grid(rows: int, columns: int, height: float) -> list[Axes]:
    """Return the Axes of a new figure with several of them, row by row, that pyplot does not know.

    Args:
        rows: Of Axes.
        columns: Of Axes.
        height: Of the figure, in inches.

    >>> len(file_grid(2, 2, 5.0))
    4
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(FIGURE_WIDTH, height))
        FigureCanvasAgg(figure)
        return list(figure.subplots(rows, columns, squeeze=False).flat)


def render(axes: Axes, form: str = "png") -> bytes:
    """Return the file content of the figure that holds these Axes, without a date in it.

    Args:
        axes: Any Axes of the figure.
        form: ``png``, ``svg`` or ``pdf``.

    >>> render(file_axes())[1:4]
    b'PNG'
    """
    stamps = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    content = BytesIO()
    figure: Any = axes.figure.canvas.figure  # the whole one, should the Axes lie in a subfigure
    with figure_style():
        figure.savefig(content, format=form, dpi=DPI, metadata=stamps.get(form))
    return content.getvalue()


def save(axes: Axes, stem: str | os.PathLike[str], forms: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write the figure as ``stem.png`` and ``stem.svg``, each whole or not at all.

    Args:
        axes: Any Axes of the figure.
        stem: Path without the suffix; folders above it are made.
        forms: ``png``, ``svg`` or ``pdf``.

    Returns:
        The paths written.
    """
    written = []
    for form in forms:
        path = Path(f"{os.fspath(stem)}.{form}")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(render(axes, form))
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        written.append(path)
    return written
