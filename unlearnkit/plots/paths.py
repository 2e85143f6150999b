"""Read a results dict: rows by role and by method, and the path a method took from the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unlearnkit.errors import ConfigurationError

Results = Mapping[str, Any]
"""What ``compare`` writes: ``rows`` (one a model), ``protocol``, ``hardware``, ``date``, ``command``."""

Row = Mapping[str, Any]
"""One model of the results: ``method``, ``label``, ``seed``, ``role``, ``summary``, ``seconds``, ``path``."""

Point = dict[str, float]
"""One evaluated round of a path, by key; NaN where a value is missing."""


def number(value: object) -> float:
    """Return a finite number as it is and everything else (null, NaN, infinity, text) as NaN.

    >>> number(0.5), number(None), number(float("inf"))
    (0.5, nan, nan)
    """
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return math.nan


def rows_of(results: Results, role: str | None = None) -> list[Row]:
    """Return the rows of the results, those of one role where it is named.

    Raises:
        ConfigurationError: There is no list of rows.
    """
    found = results.get("rows")
    if not isinstance(found, list):
        raise ConfigurationError(
            f"`results` must hold a list `rows`, one entry a model. Found {type(found).__name__}. "
            "Give what `compare` wrote: unlearnkit.artifacts.read_json(folder + '/results.json')."
        )
    return [row for row in found if role is None or row.get("role") == role]


def methods_of(results: Results) -> dict[str, list[Row]]:
    """Return the rows of each method, one a seed, methods in the order they come.

    >>> rows = [{"method": "ga", "role": "method", "seed": seed} for seed in (0, 1)]
    >>> {method: len(seeds) for method, seeds in methods_of({"rows": rows}).items()}
    {'ga': 2}
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows_of(results, "method"):
        grouped.setdefault(str(row.get("method")), []).append(row)
    return grouped


def label_of(row: Row) -> str:
    """Return how a row is called in tables and legends."""
    return str(row.get("label") or row.get("method") or row.get("role"))


def value_of(row: Row, key: str) -> float:
    """Return a number of a row's summary, or its seconds or rounds; NaN where it is missing."""
    summary = row.get("summary") or {}
    return number(summary[key] if key in summary else row.get(key))


def mean(values: list[float]) -> float:
    """Return the mean of the finite values, NaN where there is none.

    >>> mean([1.0, math.nan, 3.0])
    2.0
    """
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def role_values(results: Results, role: str, key: str) -> list[float]:
    """Return the target's or the reference's value of one key for each seed, NaN where it is missing.

    Paths may be evaluated on fewer rows than summaries. Where the role recorded a point of its own in
    the same way, that point is what paths are compared with.

    >>> row = {"role": "retrained", "summary": {"utility": 0.9}, "path": [{"round": 0, "utility": 0.8}]}
    >>> role_values({"rows": [row]}, "retrained", "utility")
    [0.8]
    """
    values = []
    for row in rows_of(results, role):
        recorded = [number(point.get(key)) for point in row.get("path") or [] if key in point]
        values.append(recorded[-1] if recorded else value_of(row, key))
    return values


def path_of(results: Results, row: Row) -> list[Point]:
    """Return the points of a row's path by round, from the target it started at.

    The target is round 0 where the path itself has none: the one of the same seed, else the first.
    A row that recorded no path has none: nothing is invented between target and outcome.

    >>> target = {"role": "target", "seed": 0, "summary": {"forget_rouge": 1.0}}
    >>> row = {"role": "method", "seed": 0, "path": [{"round": 10, "forget_rouge": None}]}
    >>> path_of({"rows": [target, row]}, row)
    [{'forget_rouge': 1.0, 'round': 0.0}, {'round': 10.0, 'forget_rouge': nan}]
    """
    recorded = [{str(key): number(value) for key, value in point.items()} for point in row.get("path") or []]
    points = sorted((point for point in recorded if "round" in point), key=lambda point: point["round"])
    if not points or points[0]["round"] == 0:
        return points
    targets = rows_of(results, "target")
    same = [target for target in targets if target.get("seed") == row.get("seed")]
    for target in (same or targets)[:1]:
        summary = target.get("summary") or {}
        points.insert(0, {**{str(key): number(value) for key, value in summary.items()}, "round": 0.0})
    return points
