"""One number over the rounds of each method: mean and spread over seeds, beside target and retrained reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from unlearnkit.errors import UnknownNameError
from unlearnkit.plots.figure import notebook_axes
from unlearnkit.plots.palette import ROLES, figure_style, method_styles
from unlearnkit.plots.paths import Results, Row, label_of, mean, methods_of, path_of, role_values
from unlearnkit.plots.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 0.2
"""Least height of an axis of fractions."""

EDGE = 0.03
"""What such an axis shows beyond 0 and 1, so that a line there is seen whole."""

ORDERS = 100
"""Ratio of losses from which their axis is logarithmic: ascent has no bound."""


def over_rounds(
    results: Results,
    key: str,
    ax: Axes | None = None,
    methods: Iterable[str] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw a number along each method's path: the mean over seeds, and a band of one deviation to each side.

    The mean is taken at the rounds at which every seed has a finite value; points of seeds that are not finite are
    counted in the legend. The retrained reference, where unlearning should end, is a dashed line with its own band.

    Args:
        results: A results dict as ``compare`` writes it.
        key: Key of the paths, e.g. ``forget_accuracy``.
        ax: Axes to draw on; None makes a figure 6 inches wide.
        methods: Which methods; None draws all. A method looks the same whichever are drawn.
        legend: Whether these Axes have a legend of their own.

    Returns:
        The Axes.

    Raises:
        ConfigurationError: The results hold no list of rows.
        UnknownNameError: There is no such method in the results.

    >>> from unlearnkit.testing.results import made_up_results
    >>> axes = over_rounds(made_up_results(methods=2, seeds=3), "forget_rouge")
    >>> [line.get_gid() for line in axes.lines]
    ['retrained', 'mean:gd', 'mean:ga']
    """
    grouped = methods_of(results)
    named = list(grouped if methods is None else methods)
    for name in named:
        if name not in grouped:
            raise UnknownNameError.among("methods", name, grouped)
    chosen = {name: grouped[name] for name in named}
    found = quantity(key, results)
    with figure_style():
        axes = notebook_axes(3.2) if ax is None else ax
        styles = method_styles(grouped)
        _draw_reference(axes, results, key)
        for name, rows in chosen.items():
            curve, lost = _curve(results, rows, key)
            style = styles[name]
            rounds, middle, spread = ([point[place] for point in curve] for place in range(3))
            (line,) = axes.plot(
                rounds, middle, color=style.color, linestyle=style.line, marker=style.marker, markersize=4.5,
                markeredgecolor="white", markeredgewidth=0.5, zorder=3,
                label=label_of(rows[0]) + (f"\n({lost} points not finite)" if lost else ""),
            )  # fmt: skip
            line.set_gid(f"mean:{name}")
            _band(axes, rounds, middle, spread, style.color, f"band:{name}")
        axes.set_xlabel("round")
        axes.set_ylabel("\n".join(wrap(found.name, 22)))
        axes.locator_params(axis="x", nbins=5, integer=True)
        if found.kind == "loss" and _far_apart(axes):
            axes.set_yscale("log", nonpositive="clip")
        else:
            axes.locator_params(axis="y", nbins=5)
        if found.kind == "fraction":
            _limit(axes)
        if legend:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4)
    return axes


def _draw_reference(axes: Axes, results: Results, key: str) -> None:
    """Draw the retrained reference's level and, over several seeds, its band."""
    values = [value for value in role_values(results, "retrained", key) if math.isfinite(value)]
    if not values:
        return
    style, (low, high) = ROLES["retrained"], _edges(values)
    axes.axhline(
        mean(values), color=style.color, linestyle=style.line, linewidth=1.4, zorder=2, label="retrained"
    ).set_gid("retrained")
    if high > low:
        axes.axhspan(low, high, color=style.color, alpha=0.12, linewidth=0, zorder=1).set_gid(
            "band:retrained"
        )


def _curve(results: Results, rows: Sequence[Row], key: str) -> tuple[list[tuple[float, float, float]], int]:
    """Return (round, mean, sample deviation) at the rounds that all seeds have, and how many points are not finite."""
    seeds = [{point["round"]: point.get(key, math.nan) for point in path_of(results, row)} for row in rows]
    finite = [{at: value for at, value in seed.items() if math.isfinite(value)} for seed in seeds]
    lost = sum(map(len, seeds)) - sum(map(len, finite))
    shared = sorted(set.intersection(*(set(seed) for seed in finite)))
    curve = []
    for at in shared:
        low, high = _edges([seed[at] for seed in finite])
        curve.append((at, (low + high) / 2, (high - low) / 2))
    return curve, lost


def _edges(values: Sequence[float]) -> tuple[float, float]:
    """Return mean minus and plus the sample deviation; of one value, twice that value.

    >>> _edges([1.0, 3.0])
    (0.585..., 3.414...)
    """
    middle = math.fsum(values) / len(values)
    if len(values) < 2:
        return middle, middle
    spread = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))
    return middle - spread, middle + spread


def _band(
    axes: Axes, rounds: list[float], middle: list[float], spread: list[float], color: str, gid: str
) -> None:
    if any(spread):
        low = [value - width for value, width in zip(middle, spread, strict=True)]
        high = [value + width for value, width in zip(middle, spread, strict=True)]
        axes.fill_between(rounds, low, high, color=color, alpha=0.15, linewidth=0, zorder=1).set_gid(gid)


def _far_apart(axes: Axes) -> bool:
    """Say whether one method's losses would press all others onto the bottom of a linear axis."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    heights = np.concatenate([[0.0], *drawn])
    positive = heights[heights > 0]
    return bool(positive.size) and bool(positive.max() > ORDERS * positive.min())


def _limit(axes: Axes) -> None:
    """Keep to fractions, bands or not, and never zoom into their last hundredths: differences there are noise."""
    low, high = axes.get_ylim()
    if high - low < LEAST:
        low, high = (low + high - LEAST) / 2, (low + high + LEAST) / 2
    high = min(high, 1.0 + EDGE)
    low = max(min(low, high - LEAST), -EDGE)
    axes.set_ylim(low, max(high, low + LEAST))
