"""The trade-off figure: forgetting against utility along the path of each method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.plots.figure import notebook_axes
from unlearnkit.plots.palette import ROLES, Role, Style, figure_style, method_styles
from unlearnkit.plots.paths import (
    Results,
    Row,
    label_of,
    mean,
    methods_of,
    path_of,
    role_values,
    rows_of,
    value_of,
)
from unlearnkit.plots.profiles import profile
from unlearnkit.plots.quantities import axis_label, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Track = dict[float, tuple[float, float]]
"""Where one run was, ``round -> (x, y)``, finite points only."""


def tradeoff(results: Results, ax: Axes | None = None, x: str | None = None, y: str | None = None) -> Axes:
    """Draw each method's path from the target, its last point marked, and the retrained reference.

    With several seeds each seed's path is thin and their mean thick; the mean is taken over the
    rounds at which every seed has a finite value, so a seed that collapsed cannot shift it. A method
    that recorded no path is drawn as its outcome alone, one without a finite value only in the legend.

    Args:
        results: A results dict as ``compare`` writes it.
        ax: Axes to draw on; None makes a figure 6 inches wide.
        x: Key along x, of summaries and paths; None takes the benchmark's measure of forgetting.
        y: Key along y; None takes what the benchmark ranks by.

    Returns:
        The Axes.

    Raises:
        ConfigurationError: The results hold no list of rows.

    >>> from unlearnkit.testing.results import made_up_results
    >>> axes = tradeoff(made_up_results(methods=2, seeds=1))
    >>> axes.get_ylabel()
    'model utility (higher is better →)'
    """
    methods = methods_of(results)
    x, y = x or profile(results).forget, y or profile(results).keep
    with figure_style():
        axes = notebook_axes() if ax is None else ax
        styles = method_styles(methods)
        for place, (method, rows) in enumerate(methods.items()):
            size = 11.0 - 4.0 * place / len(methods)  # later ones lie on top: an end shared stays seen
            _draw_method(axes, results, rows, styles[method], size, x, y)
        seeds = max(map(len, methods.values()), default=1)
        if seeds > 1:
            axes.plot([], [], color="#777777", linewidth=0.7, label=f"one of {seeds} seeds")
        for role in ("target", "retrained"):
            _draw_role(axes, results, role, x, y)
        for axis, key in ((axes.xaxis, x), (axes.yaxis, y)):
            found = quantity(key, results)
            axis.set_label_text(axis_label(found.name, found.better))
        _set_limits(axes, x, y)
        axes.locator_params(nbins=6)  # more ticks of a narrow range would touch
        _legend(axes)
    return axes


def _draw_method(
    axes: Axes, results: Results, rows: Sequence[Row], style: Style, size: float, x: str, y: str
) -> None:
    """Draw the paths of one method's seeds and, where there are several, their mean."""
    method, label = rows[0].get("method"), label_of(rows[0])
    found = [_track(results, row, x, y) for row in rows]
    tracks = {str(row.get("seed")): track for row, (track, _) in zip(rows, found, strict=True) if track}
    lost = sum(missing for _, missing in found)
    if not tracks:
        label += "\n(no finite value)"
    elif lost:
        label += f"\n({lost} points not finite)"
    average = _mean_track(list(tracks.values())) if len(tracks) == len(rows) > 1 else {}
    line: dict[str, Any] = {"color": style.color, "linestyle": style.line}
    thick: dict[str, Track] = {"mean": average} if len(average) > 1 else tracks
    for seed, track in tracks.items() if len(average) > 1 else ():
        (drawn,) = axes.plot(*_columns(track), **line, linewidth=0.7, alpha=0.5, zorder=2)
        drawn.set_gid(f"seed:{method}:{seed}")
    for name, track in thick.items():
        across, up = _columns(track)
        (path,) = axes.plot(across, up, **line, marker="o", markersize=2.5, linewidth=1.8, zorder=3)
        path.set_gid(f"path:{method}:{name}")
        (last,) = axes.plot(
            across[-1:], up[-1:], linestyle="none", marker=style.marker, markersize=size,
            color=style.color, markeredgecolor="white", zorder=5,
        )  # fmt: skip
        last.set_gid(f"last:{method}:{name}")
    axes.plot([], [], **line, marker=style.marker, markersize=7, markeredgecolor="white", label=label)


def _columns(track: Track) -> tuple[list[float], list[float]]:
    """Return the x and the y of a track's points."""
    return [point[0] for point in track.values()], [point[1] for point in track.values()]


def _track(results: Results, row: Row, x: str, y: str) -> tuple[Track, int]:
    """Return the finite points of one run and how many are not; its outcome where no path has the keys."""
    track: Track = {}
    points = [point for point in path_of(results, row) if x in point and y in point]
    for point in points:
        if math.isfinite(point[x]) and math.isfinite(point[y]):
            track[point["round"]] = (point[x], point[y])
    if len(points) <= 1:
        outcome = (value_of(row, x), value_of(row, y))
        return ({math.inf: outcome}, 0) if all(map(math.isfinite, outcome)) else ({}, 0)
    return track, len(points) - len(track)


def _mean_track(tracks: Sequence[Track]) -> Track:
    """Return the mean over seeds at the rounds that all of them have."""
    if not tracks:
        return {}
    shared = [key for key in tracks[0] if all(key in track for track in tracks)]
    return {
        key: (mean([track[key][0] for track in tracks]), mean([track[key][1] for track in tracks]))
        for key in shared
    }


def _draw_role(axes: Axes, results: Results, role: Role, x: str, y: str) -> None:
    """Mark the target or the retrained reference, the latter with guide lines to both axes."""
    at = (mean(role_values(results, role, x)), mean(role_values(results, role, y)))
    style = ROLES[role]
    if not rows_of(results, role):
        return
    finite = all(map(math.isfinite, at))
    size = 15 if role == "retrained" else 8
    (mark,) = axes.plot(
        [at[0]] if finite else [], [at[1]] if finite else [], linestyle="none", marker=style.marker,
        markersize=size, color=style.color, markeredgecolor="white", zorder=6,
        label=role if finite else f"{role} (no finite value)",
    )  # fmt: skip
    mark.set_gid(f"role:{role}")
    if role == "retrained" and finite:
        guide: dict[str, Any] = {"color": style.color, "linestyle": style.line, "linewidth": 1.0, "zorder": 1}
        axes.axvline(at[0], **guide).set_gid("guide:x")
        axes.axhline(at[1], **guide).set_gid("guide:y")


def _set_limits(axes: Axes, x: str, y: str) -> None:
    """Leave air around what is drawn, and never zoom into a fraction's last hundredth."""
    drawn: list[Any] = [line for line in axes.lines if not str(line.get_gid()).startswith("guide")]
    for set_limits, key, values in (
        (axes.set_xlim, x, [float(value) for line in drawn for value in line.get_xdata()]),
        (axes.set_ylim, y, [float(value) for line in drawn for value in line.get_ydata()]),
    ):
        if not values:
            continue
        low, high = min(values), max(values)
        least = 0.2 if quantity(key).kind == "fraction" else 1e-3
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
        air = 0.06 * (high - low)
        set_limits(low - air, high + air)


def _legend(axes: Axes) -> None:
    """Put the legend right of the Axes, target and retrained reference first."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: not str(handles[place].get_gid()).startswith("role"))
    axes.legend(
        [handles[place] for place in order], [labels[place] for place in order],
        loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4, labelspacing=0.7, handlelength=2.4,
    )  # fmt: skip
