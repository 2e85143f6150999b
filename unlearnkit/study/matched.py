"""Compare methods where they have forgotten equally much: the one table that may rank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots.paths import Point, Results, Row, label_of, methods_of, path_of, role_values, rows_of
from unlearnkit.plots.profiles import profile
from unlearnkit.plots.quantities import quantity
from unlearnkit.study.grid import MISSING, Cell, Column, Grid, Spread
from unlearnkit.study.provenance import caption, path_note

ENOUGH_SEEDS = 5
"""Fewer seeds than this give an order, not a ranking; the caption says so."""


@dataclass(frozen=True)
class MatchedRow:
    """One method where its path first reached the level.

    Attributes:
        method: Name, as in the results.
        label: Name to print.
        rank: 1 is best; None where a seed did not reach the level or has no finite value there.
        reached: How many seeds reached it.
        seeds: How many seeds there are.
        with_path: How many of them recorded a path.
        values: Each number of the path at that point, over the seeds that reached it.
    """

    method: str
    label: str
    rank: int | None
    reached: int
    seeds: int
    with_path: int
    values: Mapping[str, Spread]


@dataclass(frozen=True)
class Matched:
    """Methods at matched forgetting, best first, those that did not reach the level last.

    Attributes:
        key: What was matched.
        level: At which value.
        by: What ranks.
        rows: One a method.
    """

    key: str
    level: float
    by: str
    rows: tuple[MatchedRow, ...]


def matched(
    results: Results,
    level: float | None = None,
    key: str | None = None,
    by: str | None = None,
    tolerance: float | None = None,
) -> Matched:
    """Read each method's path at the first point where forgetting has come down to a level.

    Between two evaluated rounds the values are interpolated linearly. A seed whose path never comes
    down to the level has not reached it, whatever it did to utility. A method is ranked where all
    its seeds reached it; equal values share a rank.

    Args:
        results: A results dict as ``compare`` writes it.
        level: Value to come down to; None takes the retrained reference's, as the mean over its seeds, plus
            ``tolerance``.
        key: Key of the paths that is matched, one that falls as the model forgets; None takes the benchmark's.
        by: Key of the paths that ranks; None takes the benchmark's.
        tolerance: How far above the reference still counts; None takes the benchmark's.

    Raises:
        ConfigurationError: There is no level and no retrained reference to take it from.

    >>> from unlearnkit.testing.results import made_up_results
    >>> found = matched(made_up_results())
    >>> [(row.rank, row.label) for row in found.rows][:2]
    [(1, 'LossNorm'), (2, 'GDiff 0.9')]
    """
    shown = profile(results)
    key, by = key or shown.forget, by or shown.keep
    tolerance = shown.tolerance if tolerance is None else tolerance
    if level is None:
        level = Spread.over(role_values(results, "retrained", key)).mean + tolerance
    if not math.isfinite(level):
        raise ConfigurationError(
            f"`level` must be a finite number. Found {level}: the results hold no retrained reference "
            f"with a value of {key!r}. Name a level, or run the comparison with its reference."
        )
    found = [_row(results, seeds, level, key) for seeds in methods_of(results).values()]
    return Matched(key, level, by, tuple(_ranked(found, by, quantity(by, results).better != "down")))


def _row(results: Results, seeds: Sequence[Row], level: float, key: str) -> MatchedRow:
    """Gather one method's seeds at the level."""
    paths = [path_of(results, row) for row in seeds]
    points = [point for path in paths if (point := crossing(path, key, level)) is not None]
    known = {name for point in points for name in point}
    values = {name: Spread.over([point.get(name, math.nan) for point in points]) for name in sorted(known)}
    method, label = str(seeds[0].get("method")), label_of(seeds[0])
    return MatchedRow(method, label, None, len(points), len(seeds), sum(map(bool, paths)), values)


def crossing(path: Sequence[Point], key: str, level: float) -> Point | None:
    """Return the first point of a path with ``key <= level``, interpolated; None where there is none.

    Rounds at which the key is not finite are passed over.

    >>> path = [{"round": 0, "forget_rouge": 1.0}, {"round": 10, "forget_rouge": 0.5}]
    >>> crossing(path, "forget_rouge", 0.75)
    {'round': 5.0, 'forget_rouge': 0.75}
    >>> crossing(path, "forget_rouge", 0.4) is None
    True
    """
    before: Point | None = None
    for point in path:
        value = point.get(key, math.nan)
        if not math.isfinite(value):
            continue
        if value <= level:
            if before is None or value == level:
                return dict(point)
            share = (before[key] - level) / (before[key] - value)
            mixed = {name: before.get(name, math.nan) * (1 - share) + point[name] * share for name in point}
            return mixed | {key: level}
        before = point
    return None


def _ranked(found: Sequence[MatchedRow], by: str, descending: bool) -> list[MatchedRow]:
    """Give ranks, equal values the same, and order by them; the others follow as they came."""

    def score(row: MatchedRow) -> float:
        spread = row.values.get(by)
        if spread is None or spread.n < row.seeds:  # a seed that did not reach the level has no value
            return math.nan
        return -spread.mean if descending else spread.mean

    scores = sorted(value for row in found if math.isfinite(value := score(row)))
    ranked = [
        replace(row, rank=scores.index(score(row)) + 1) if math.isfinite(score(row)) else row for row in found
    ]
    return sorted(ranked, key=lambda row: math.inf if row.rank is None else row.rank)


def matched_table(results: Results, found: Matched | None = None) -> Grid:
    """Return the table of methods at matched forgetting, below the retrained reference's own values.

    Args:
        results: A results dict as ``compare`` writes it.
        found: What ``matched`` returned; None matches at the retrained reference's level.

    Raises:
        ConfigurationError: There is no retrained reference to take the level from.

    >>> from unlearnkit.testing.results import made_up_results
    >>> [column.name for column in matched_table(made_up_results()).columns][:4]
    ['method', 'rank', 'reached', 'round ↓']
    """
    found = matched(results) if found is None else found
    seen = {name for row in found.rows for name in row.values} - {found.key, found.by}
    shown = [
        quantity(key, results) for key in (found.by, *(key for key in profile(results).beside if key in seen))
    ]
    body: list[tuple[Cell, ...]] = []
    if reference := rows_of(results, "retrained"):
        spreads = [Spread.over(role_values(results, "retrained", one.key)) for one in shown]
        cells = [Cell.spread(spread, one.kind) for spread, one in zip(spreads, shown, strict=True)]
        body.append((Cell.text(label_of(reference[0])), *[Cell.text(MISSING)] * 3, *cells))
    for row in found.rows:
        cells = [_value(row, one.key, results) for one in (quantity("round"), *shown)]
        rank = Cell.text(MISSING if row.rank is None else str(row.rank))
        body.append((Cell.text(row.label), rank, _reached(row), *cells))
    name, by = quantity(found.key, results).name, quantity(found.by, results).name
    return Grid(
        f"At matched forgetting: first point with {name} ≤ {found.level:.3f}, ranked by {by}",
        (
            Column("method", ("method",)),
            Column("rank", ("rank",)),
            Column("reached", ("reached",)),
            *map(Column.of, (quantity("round"), *shown)),
        ),
        tuple(body),
        (_note(found, results), caption(results)),
        profile(results).abbreviations,
    )


def _reached(row: MatchedRow) -> Cell:
    """Say how many seeds reached the level."""
    if not row.with_path:
        return Cell("no path", ("no path",))
    if not row.reached:
        return Cell("not reached", ("not", "reached"))
    return Cell.text("yes" if row.seeds == 1 else f"{row.reached} of {row.seeds}")


def _value(row: MatchedRow, key: str, results: Results) -> Cell:
    """Print one value; over the seeds that reached the level only."""
    spread = row.values.get(key)
    return Cell.text(MISSING) if spread is None else Cell.spread(spread, quantity(key, results).kind)


def _note(found: Matched, results: Results) -> str:
    """Say how the values came about and how far the ranks carry."""
    seeds = min((row.seeds for row in found.rows), default=0)
    note = ["Linear between evaluated rounds; a method is ranked where all its seeds reached the level."]
    if path_note(results):
        note.append(path_note(results))
    if Spread.over(role_values(results, "target", found.key)).mean <= found.level:
        note.append(
            "The target itself is at or below the level: nothing had to be forgotten, ranks say nothing."
        )
    if seeds < ENOUGH_SEEDS:
        given = "1 seed gives" if seeds == 1 else f"{seeds} seeds give"
        note.append(f"{given} an order, not a ranking: that takes {ENOUGH_SEEDS}.")
    return " ".join(note)
