"""The figures of a comparison: the trade-off, numbers over rounds, confusion and samples before and after."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots import confusion_map, figure_style, file_axes, file_grid, over_rounds, profile, tradeoff
from unlearnkit.plots.paths import Results, label_of, methods_of, path_of
from unlearnkit.study.confusions import Confusions, confusions
from unlearnkit.study.matched import matched
from unlearnkit.study.sample_figures import sample_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AT_ONCE = 6
"""Methods in one figure of curves: more bands on top of each other could not be told apart."""

MAPS = 4
"""Methods of which the confusion is drawn."""

NAMED = 10
"""Classes up to which each has its name beside a map."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        stem: Name of its files.
        title: Heading in the report; figures of one heading stand together.
        text: What it shows, for who cannot see it.
        axes: Any Axes of it.
    """

    stem: str
    title: str
    text: str
    axes: Axes


def figures(results: Results, folder: str | os.PathLike[str] | None = None) -> list[Figure]:
    """Draw what the results allow; the trade-off comes first.

    Args:
        results: A results dict as ``compare`` writes it.
        folder: The comparison's folder, whose evaluations hold generated images; None draws none of these.

    Raises:
        ConfigurationError: The results hold no list of rows.

    >>> from unlearnkit.testing.results import made_up_results
    >>> [figure.stem for figure in figures(made_up_results(methods=2))]
    ['tradeoff', 'curves']
    """
    height = max(
        3.8, 0.23 * (len(methods_of(results)) + 4)
    )  # a line of the legend for each method and four more
    first = Figure(
        "tradeoff",
        "The path of each method",
        "Forgetting against utility along the path of each method, with target and retrained reference.",
        tradeoff(results, ax=file_axes(height)),
    )
    return [first, *_curves(results), *_confusion(results), *_samples(results, folder)]


def _curves(results: Results) -> list[Figure]:
    """Draw the benchmark's followed numbers over rounds, a few methods a figure."""
    methods = methods_of(results)
    points = [point for rows in methods.values() for row in rows for point in path_of(results, row)]
    keys = [key for key in profile(results).followed if any(key in point for point in points)]
    if not keys:
        return []
    names = list(methods)
    parts = [names[low : low + AT_ONCE] for low in range(0, len(names), AT_ONCE)]
    found = []
    for place, part in enumerate(parts, start=1):
        lines = -(-len(keys) // 2)
        columns = 3 if max(len(label_of(methods[name][0])) for name in part) <= 18 else 2
        panels = file_grid(lines, 2, 0.7 + 2.3 * lines + 0.2 * -(-(len(part) + 1) // columns))
        for axes, key in zip(panels, keys, strict=False):
            over_rounds(results, key, axes, part, legend=False)
        for axes in panels[len(keys) :]:
            axes.remove()
        _share_legend(panels[0], columns)
        found.append(
            Figure(
                "curves" if len(parts) == 1 else f"curves_{place}",
                "Over rounds: mean and standard deviation over seeds",
                f"Numbers over rounds of {', '.join(part)}; the dashed line is the retrained reference.",
                panels[0],
            )
        )
    return found


def _share_legend(axes: Axes, columns: int) -> None:
    """Put one legend below all Axes of the figure."""
    with figure_style():
        figure: Any = axes.figure
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def _confusion(results: Results) -> list[Figure]:
    """Draw what target, the methods that rank first, and the retrained reference take images for."""
    found = confusions(results)
    if found is None or not found.classes:
        return []
    models = [name for name in ("target", *_first(results), "retrained") if name in found.models]
    lines = -(-len(models) // 3)
    longest = max(map(len, found.classes))
    panels = file_grid(lines, 3, 0.9 + 2.1 * lines + 0.08 * longest)
    for place, (axes, name) in enumerate(zip(panels, models, strict=False)):
        model = found.models[name]
        title = "\n".join(wrap(model.label, 18))
        confusion_map(model.counts, found.classes, found.forgotten, axes, title)
        if len(found.classes) > NAMED:
            _name_forgotten(axes, found)
        if place % 3:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if place + 3 < len(models):
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
    for axes in panels[len(models) :]:
        axes.remove()
    with figure_style():
        whole: Any = panels[0].figure
        bar = whole.colorbar(
            panels[0].images[0], ax=panels[: len(models)], location="bottom", shrink=0.6, aspect=40
        )
        bar.set_label(f"share of a class's {found.images} images")
        bar.outline.set_visible(False)
    framed = " A forgotten class's row is framed." if found.forgotten else ""
    return [
        Figure(
            "confusion",
            f"What {found.images} images are taken for, before and after, all seeds together",
            f"Confusion of {', '.join(models)}, row by label, column by predicted class.{framed}",
            panels[0],
        )
    ]


def _samples(results: Results, folder: str | os.PathLike[str] | None) -> list[Figure]:
    """Draw the images that target, method and retrained reference generate from the same noise."""
    drawn = {} if folder is None else sample_figures(results, folder)
    return [
        Figure(
            f"samples_{name}",
            "What each model draws, class by class, from the same noise",
            f"Generated images of target, {name} and retrained reference, a column for each class; the column of a "
            "forgotten class is framed.",
            axes,
        )
        for name, axes in drawn.items()
    ]


def _name_forgotten(axes: Axes, found: Confusions) -> None:
    """Name the forgotten classes only: all names would touch."""
    places = [found.classes.index(name) for name in found.forgotten]
    with figure_style():
        axes.set_xticks(places, found.forgotten)
        axes.set_yticks(places, found.forgotten)


def _first(results: Results) -> Sequence[str]:
    """Return the methods that rank first at matched forgetting, or come first where nothing can be matched."""
    try:
        return [row.method for row in matched(results).rows][:MAPS]
    except ConfigurationError:
        return list(methods_of(results))[:MAPS]
