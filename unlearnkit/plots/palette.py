"""The one palette: three roles, a style for each method, and the figure defaults.

Roles and methods take the colours of Okabe and Ito (2008) and three of Tol's; a test simulates the
three kinds of colour blindness on them. Colour is never alone: each style has its own marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["target", "unlearned", "retrained"]
"""What a model is: the one to unlearn from, the outcome, the reference that never saw the forget set."""

FIGURE_WIDTH = 6.0
"""Width of every figure in inches: a notebook's and a page's column."""


@dataclass(frozen=True)
class Style:
    """How one model or method is drawn.

    Attributes:
        color: Hexadecimal colour.
        marker: Matplotlib's marker.
        line: Matplotlib's line style.
    """

    color: str
    marker: str
    line: str = "-"


ROLES: dict[Role, Style] = {
    "target": Style("#000000", "s"),
    "unlearned": Style("#0072B2", "o"),
    "retrained": Style("#009E73", "*", "--"),
}
"""Style of each role; no method has the colour of the target or of the retrained reference."""

_COLORS = ("#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#661100", "#332288", "#AA3377")
_MARKERS = ("o", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
_LINES = ("-", "--", "-.", ":")


def method_styles(methods: Iterable[str]) -> dict[str, Style]:
    """Give each method a style by its place in the order.

    The first 8 have a colour each; after them colours return with another marker and line. Give all
    methods of a study and pick from the result, so that a method looks the same in all its figures.

    >>> styles = method_styles(["npo", "ngdiff"])
    >>> styles["npo"]
    Style(color='#0072B2', marker='o', line='-')
    >>> styles["ngdiff"].color == styles["npo"].color
    False
    """
    return {
        method: Style(
            _COLORS[place % len(_COLORS)],
            _MARKERS[place % len(_MARKERS)],
            _LINES[place // len(_COLORS) % len(_LINES)],
        )
        for place, method in enumerate(dict.fromkeys(methods))
    }


def figure_defaults() -> dict[str, Any]:
    """Return the rcParams of every figure: 6 inches wide, no font under 9 points.

    >>> figure_defaults()["figure.figsize"]
    (6.0, 3.8)
    """
    from cycler import cycler

    return {
        "figure.figsize": (FIGURE_WIDTH, 3.8),
        "figure.dpi": 100,
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "savefig.facecolor": "white",
        "font.size": 10.0,
        "axes.labelsize": 10.0,
        "axes.titlesize": 10.0,
        "xtick.labelsize": 9.0,
        "ytick.labelsize": 9.0,
        "legend.fontsize": 9.0,
        "legend.frameon": False,
        "axes.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.8,
        "axes.prop_cycle": cycler(color=_COLORS),
        "svg.hashsalt": "unlearnkit",  # the same figure is the same file
    }


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw with the palette and the figure defaults; matplotlib's own are put back at the end.

    >>> import matplotlib
    >>> with figure_style():
    ...     matplotlib.rcParams["xtick.labelsize"]
    9.0
    """
    import matplotlib

    defaults: Any = figure_defaults()  # rcParams' keys are typed as literals from matplotlib 3.11 on
    with matplotlib.rc_context(defaults):
        yield
