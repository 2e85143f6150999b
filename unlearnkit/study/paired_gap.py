"""What another way of stepping changes of the same losses' Gap and Std, seeds taken as pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unlearnkit.metrics.functional.gap import NUMBERS, average_gap, average_std
from unlearnkit.plots.paths import Results, Row, label_of, methods_of, path_of, rows_of
from unlearnkit.plots.profiles import profile
from unlearnkit.study.gap_table import DRAWS, interval
from unlearnkit.study.grid import MISSING, Cell, Column, Grid
from unlearnkit.study.matched import crossing, matched
from unlearnkit.study.provenance import caption

STEPPINGS = ("_dual_optim_plus", "_dual_optim", "_alternate")
"""Endings of methods that step otherwise along the losses of the method without the ending."""

Summary = dict[str, Any]


def stepping_pairs(results: Results) -> list[tuple[str, str]]:
    """Return (method, the one it is compared with) by name, rates behind an @ left aside.

    >>> rows = [{"method": name, "role": "method"} for name in ("rl@1e-3", "rl_dual_optim@1e-4")]
    >>> stepping_pairs({"rows": rows})
    [('rl_dual_optim@1e-4', 'rl@1e-3')]
    """
    bases: dict[str, list[str]] = {}
    for name in methods_of(results):
        bases.setdefault(name.partition("@")[0], []).append(name)
    pairs = []
    for name in methods_of(results):
        stem = name.partition("@")[0]
        ending = next((end for end in STEPPINGS if stem.endswith(end)), None)
        found = bases.get(stem.removesuffix(ending), []) if ending else []
        # Several rates of one method are a search, and no pair.
        if len(found) == 1 and len(bases[stem]) == 1:
            pairs.append((name, found[0]))
    return pairs


def paired_table(results: Results) -> Grid | None:
    """Return the change of Gap and Std against the same losses stepped along plainly, and Std at matched FA.

    Seeds are drawn with replacement, each with both methods and its retrained reference, which leaves out what seeds
    share (a target that is easy for both). Where several pairs are listed, one of twenty intervals misses.

    Args:
        results: A results dict as ``compare`` writes it, of ClassificationEvaluator.

    Returns:
        The table, or None where there is no pair, fewer than two seeds, or no Gap.

    >>> from unlearnkit.testing.results import made_up_results
    >>> paired_table(made_up_results()) is None
    True
    """
    pairs = stepping_pairs(results)
    retrained = {row.get("seed"): dict(row["summary"]) for row in rows_of(results, "retrained")}
    if results.get("evaluation") != "classification" or not pairs or len(retrained) < 2:
        return None
    methods = methods_of(results)
    level = matched(results).level
    body = [_line(results, methods[one], methods[other], retrained, level) for one, other in pairs]
    if None in body:
        return None
    forget = profile(results).forget.replace("_", " ")
    return Grid(
        "Change against the same losses stepped along plainly, points of per cent",
        (
            Column("model", ("model",)),
            Column("change of Gap [95 %] ↓", ("Gap", "change ↓")),
            Column("seeds with a lower gap", ("seeds", "lower")),
            Column("change of Std [95 %] ↓", ("Std", "change ↓")),
            Column(f"Std where {forget} first is at {level:.3f} (plainly)", ("Std at", "matched FA")),
        ),
        tuple(line for line in body if line is not None),
        (
            f"Intervals: {DRAWS} bootstrap draws of the seeds, both models of a seed together; of so few seeds they "
            "cover less than 95 %, and among many one misses by chance. Seeds with a lower gap: by each seed's own "
            f"gap. {MISSING} where a seed does not come down to the level.",
            caption(results),
        ),
    )


def _line(
    results: Results,
    rows: Sequence[Row],
    plain: Sequence[Row],
    retrained: dict[Any, Summary],
    level: float,
) -> tuple[Cell, ...] | None:
    """Return one pair's cells; None where a summary lacks one of the four numbers."""
    by_seed = {row.get("seed"): row for row in plain}
    triples = [
        (dict(row["summary"]), dict(by_seed[row.get("seed")]["summary"]), retrained[row.get("seed")])
        for row in rows
        if row.get("seed") in by_seed and row.get("seed") in retrained
    ]
    if len(triples) < 2 or any(set(NUMBERS) - set(summary) for triple in triples for summary in triple):
        return None

    def change_of_gap(chosen: Sequence[int]) -> float:
        own, other, reference = ([triples[i][k] for i in chosen] for k in range(3))
        return average_gap(own, reference) - average_gap(other, reference)

    def change_of_std(chosen: Sequence[int]) -> float:
        own, other = ([triples[i][k] for i in chosen] for k in range(2))
        return average_std(own) - average_std(other)

    lower = sum(change_of_gap([i]) < 0 for i in range(len(triples)))
    spreads = [_std_at(results, seeds, level) for seeds in (rows, plain)]
    return (
        Cell.text(label_of(rows[0])),
        interval(change_of_gap, len(triples), "+"),
        Cell.text(f"{lower} of {len(triples)}"),
        interval(change_of_std, len(triples), "+"),
        Cell.text(f"{spreads[0]} ({spreads[1]})"),
    )


def _std_at(results: Results, rows: Sequence[Row], level: float) -> str:
    """Return the Std of the four numbers at the first point of each seed's path that is down at the level."""
    points = [crossing(path_of(results, row), profile(results).forget, level) for row in rows]
    found = [point for point in points if point is not None and set(NUMBERS) <= set(point)]
    # FA is the same at all of these points; what is left are the other three.
    value = average_std(found, NUMBERS[1:]) if len(found) == len(rows) else math.nan
    return f"{100 * value:.2f}" if math.isfinite(value) else MISSING
