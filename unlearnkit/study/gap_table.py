"""Gap and Std over seeds as paper 002's tables have them, with bootstrap intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from unlearnkit.metrics.functional.gap import NUMBERS, average_gap, average_std
from unlearnkit.plots.paths import Results, Row, label_of, methods_of, rows_of
from unlearnkit.plots.quantities import quantity
from unlearnkit.study.grid import MISSING, Cell, Column, Grid
from unlearnkit.study.provenance import caption

DRAWS = 2000
"""Bootstrap samples of an interval."""

Summaries = Sequence[dict[str, Any]]


def gap_table(results: Results) -> Grid | None:
    """Return FA, RA, TA, MIA over seeds, their distance from the retrained reference, Gap and Std, in per cent.

    Gap is the mean of the four distances between means over seeds; Std the mean of their four standard deviations.
    Intervals are of 95 %, by drawing seeds with replacement, each with its own retrained reference: they cover the
    seeds that were run, and of few seeds less than they say. A reference that all seeds share (``target_seed``) has no
    Std, and intervals leave out that another one would have other numbers.

    Args:
        results: A results dict as ``compare`` writes it, of ClassificationEvaluator.

    Returns:
        The table, or None where results are of another evaluation, lack one of the four numbers (no attacks were made)
        or hold fewer than two seeds of a method.

    >>> from unlearnkit.testing.results import made_up_results
    >>> gap_table(made_up_results()) is None
    True
    """
    retrained = {row.get("seed"): dict(row["summary"]) for row in rows_of(results, "retrained")}
    groups = [rows_of(results, "target"), *methods_of(results).values()]
    whole = all(set(NUMBERS) <= set(row["summary"]) for group in groups for row in group)
    if (
        results.get("evaluation") != "classification"
        or not retrained
        or min(map(len, groups)) < 2
        or not whole
    ):
        return None
    shared = (results.get("protocol") or {}).get("target_seed") is not None
    names = [quantity(name, results) for name in NUMBERS]
    reference = list(retrained.values())
    body = [
        (
            Cell.text("retrained"),
            *_means(reference, None),
            Cell.text(MISSING),
            Cell.text(MISSING) if shared else _percent(average_std(reference)),
        )
    ]
    body += [_line(seeds, retrained) for seeds in groups]
    heads = [Column(f"{name.name} (distance)", (*name.brief, "(dist.)")) for name in names]
    return Grid(
        "Over seeds, per cent: distance from retrained, Gap and Std as in paper 002",
        (
            Column("model", ("model",)),
            *heads,
            Column("Gap [95 %] ↓", ("Gap", "↓")),
            Column("Std [95 %]", ("Std",)),
        ),
        tuple(body),
        (
            f"Intervals: {DRAWS} bootstrap draws of the {len(retrained)} seeds, "
            + ("which share one retrained reference" if shared else "each with its retrained reference")
            + "; of so few seeds they cover less than 95 %. Std divides by the number of seeds.",
            caption(results),
        ),
    )


def _line(seeds: Sequence[Row], retrained: dict[Any, dict[str, Any]]) -> tuple[Cell, ...]:
    """Return one model's cells."""
    pairs = [
        (dict(row["summary"]), retrained[row.get("seed")]) for row in seeds if row.get("seed") in retrained
    ]
    own, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def gap(chosen: Sequence[int]) -> float:
        return average_gap([own[i] for i in chosen], [other[i] for i in chosen])

    def std(chosen: Sequence[int]) -> float:
        return average_std([own[i] for i in chosen])

    return (
        Cell.text(label_of(seeds[0])),
        *_means(own, other),
        interval(gap, len(own)),
        interval(std, len(own)),
    )


def _means(own: Summaries, other: Summaries | None) -> list[Cell]:
    cells = []
    for name in NUMBERS:
        mean = average_gap(own, [dict.fromkeys(NUMBERS, 0.0)], [name])  # all four are above 0
        away = "" if other is None else f" ({100 * average_gap(own, other, [name]):.1f})"
        cells.append(Cell.text(f"{100 * mean:.1f}{away}" if math.isfinite(mean) else MISSING))
    return cells


def _percent(value: float) -> Cell:
    return Cell.text(f"{100 * value:.2f}" if math.isfinite(value) else MISSING)


def interval(measure: Callable[[Sequence[int]], float], n: int, sign: str = "") -> Cell:
    """Print a number of all seeds, in per cent, with its percentile interval over seeds drawn with replacement.

    Args:
        measure: Returns the number for the seeds it is given by place.
        n: Number of seeds.
        sign: ``+`` to print the sign of positive numbers too.
    """
    middle = measure(range(n))
    if not math.isfinite(middle):
        return Cell.text(MISSING)
    draw = random.Random(0)
    found = sorted(measure([draw.randrange(n) for _ in range(n)]) for _ in range(DRAWS))
    low, high = found[int(0.025 * DRAWS)], found[int(0.975 * DRAWS) - 1]
    return Cell.text(f"{100 * middle:{sign}.2f} [{100 * low:{sign}.2f}, {100 * high:{sign}.2f}]")
