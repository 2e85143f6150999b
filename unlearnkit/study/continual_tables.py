"""What a sequence of requests comes to: numbers by request, paths over requests, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearnkit.evaluators import read
from unlearnkit.metrics.functional import over_requests, probability
from unlearnkit.study.grid import MISSING, Cell, Column, Grid, Spread
from unlearnkit.study.table import summary

Row = dict[str, Any]

FOLLOWED = (
    ("utility", "utility"),
    ("verbmem", "verbatim memorisation"),
    ("knowmem", "knowledge memorisation"),
)
"""Numbers of MUSE whose change over requests is shown, with their names."""


def by_request(folder: Path, requested: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return ROUGE-L recall and probability of each request's own rows, by its number.

    Nothing where rows are not evaluated by request (MUSE asks about its whole forget set, whatever the request).
    """
    rows = read(folder / "evaluation.json")["per_sample"].get("forget")
    if rows is None:
        return {"by_request": {}}
    places = {index: place for place, index in enumerate(rows["index"])}
    found: dict[str, dict[str, float]] = {}
    for number, indices in enumerate(requested, start=1):
        own = [places[index] for index in indices if index in places]
        if own:
            losses = [float("inf") if rows["mean_nll"][i] is None else rows["mean_nll"][i] for i in own]
            found[str(number)] = {
                "rouge": sum(rows["rouge"][i] for i in own) / len(own),
                "probability": float(probability(losses).mean()),
            }
    return {"by_request": found}


def paths(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what each model's numbers are after each request."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        facts = {"method": row["method"], "label": row["label"], "seed": row["seed"], "path": []}
        path = found.setdefault((row["method"], row["seed"]), facts)["path"]
        path.append({"request": row["request"], **row["summary"]})
    return list(found.values())


def tables(results: Mapping[str, Any]) -> list[Grid]:
    """Return a summary after each request, and a table of what each request's own rows come to."""
    number = len(results["requests"])
    by_rows = any(row["by_request"] for row in results["rows"])
    found = []
    for request in range(1, number + 1):
        rows = [row for row in results["rows"] if row["request"] == request]
        asked = results["requests"][request - 1]
        of = "authors " if by_rows else ""
        title = f"After request {request} of {number} ({of}{asked})"
        # The forget set grows with each request, the retain set shrinks.
        said = {**results.get("protocol", {}), "n": rows[0].get("n")}
        found.append(replace(summary({**results, "rows": rows, "protocol": said}), title=title))
    return [*found, _kept_forgotten(results) if by_rows else _over_requests(results)]


def _over_requests(results: Mapping[str, Any]) -> Grid:
    """Say how MUSE's numbers change from one request to the next (its sustainability)."""
    groups: dict[str, dict[int, dict[int, Row]]] = {}
    for row in results["rows"]:
        groups.setdefault(row["label"], {}).setdefault(row["seed"], {})[row["request"]] = row["summary"]
    body = []
    for label, seeds in groups.items():
        cells = [Cell.text(label)]
        for name, _ in FOLLOWED:
            curves = [[float(summaries[k][name]) for k in sorted(summaries)] for summaries in seeds.values()]
            slopes = [over_requests(curve).slope for curve in curves if len(curve) > 1]
            cells.append(Cell.spread(Spread.over(slopes), "fraction") if slopes else Cell.text(MISSING))
        body.append(tuple(cells))
    return Grid(
        "Sustainability: change per request",
        (Column("model", ("model",)), *(Column(name, (name,)) for _, name in FOLLOWED)),
        tuple(body),
        ("Least-squares slope over the requests; of utility, below 0 means that each request costs some.",),
    )


def _kept_forgotten(results: Mapping[str, Any]) -> Grid:
    """Say whether what was forgotten stays forgotten while later requests are."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in results["rows"]:
        groups.setdefault((row["label"], row["request"]), []).append(row)
    numbers = [str(request) for request in range(1, len(results["requests"]) + 1)]
    body = []
    for (label, request), rows in sorted(groups.items(), key=lambda group: group[0]):
        cells = [Cell.text(f"{label}, after request {request}")]
        for asked in numbers:
            values = [row["by_request"][asked]["rouge"] for row in rows if asked in row["by_request"]]
            cells.append(Cell.spread(Spread.over(values), "fraction") if values else Cell.text(MISSING))
        body.append(tuple(cells))
    return Grid(
        "ROUGE-L recall of each request's own rows",
        (Column("model", ("model",)), *(Column(f"request {n}", ("request", n)) for n in numbers)),
        tuple(body),
        (f"{MISSING} is not asked for yet. Best near the retrained reference of the same request.",),
    )
