"""The summary table: target, retrained reference and each method, over seeds. It ranks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots.paths import Results, Row, label_of, methods_of, rows_of, value_of
from unlearnkit.plots.profiles import profile
from unlearnkit.plots.quantities import quantity
from unlearnkit.study.grid import MISSING, Cell, Column, Grid, Spread
from unlearnkit.study.matched import Matched, matched, matched_table
from unlearnkit.study.provenance import caption

if TYPE_CHECKING:
    from rich.console import Console

MOST = 12
"""How many numbers a row of eighty columns holds."""

__all__ = ["Entry", "Matched", "matched", "matched_table", "print_tables", "rows", "summary"]


@dataclass(frozen=True)
class Entry:
    """One line of the summary: a model, over its seeds.

    Attributes:
        method: Name, as in the results.
        label: Name to print.
        role: ``target``, ``retrained`` or ``method``.
        diverged: How many seeds stopped at a loss that was not finite.
        values: Each column's number over seeds.
    """

    method: str
    label: str
    role: str
    diverged: int
    values: Mapping[str, Spread]


def rows(results: Results, keys: Sequence[str] | None = None) -> list[Entry]:
    """Gather the results by model: the target, the retrained reference, then each method.

    Args:
        results: A results dict as ``compare`` writes it.
        keys: Which numbers of the summaries; None takes the benchmark's columns.

    Raises:
        ConfigurationError: The results hold no list of rows.

    >>> from unlearnkit.testing.results import made_up_results
    >>> entries = rows(made_up_results(methods=1, seeds=2))
    >>> [(entry.label, entry.values["retain_rouge"].n) for entry in entries]
    [('target', 2), ('retrained', 2), ('GD', 2)]
    """
    keys = profile(results).columns if keys is None else keys
    groups = [("target", rows_of(results, "target")), ("retrained", rows_of(results, "retrained"))]
    groups += [("method", seeds) for seeds in methods_of(results).values()]
    return [_entry(role, seeds, keys) for role, seeds in groups if seeds]


def _entry(role: str, seeds: Sequence[Row], keys: Sequence[str]) -> Entry:
    """Gather one model's seeds."""
    values = {key: Spread.over([value_of(row, key) for row in seeds]) for key in keys}
    diverged = sum(bool(row.get("diverged")) for row in seeds)
    return Entry(str(seeds[0].get("method")), label_of(seeds[0]), role, diverged, values)


def summary(results: Results) -> Grid:
    """Return the summary table; ``.rich()``, ``.markdown()``, ``.plain()`` and ``.html()`` render it.

    Values are those of the last round, mean and sample deviation over seeds; an en dash is a value
    that is missing or not finite. Methods stand in the order they ran: last rounds are not compared
    at equal forgetting, so only ``matched`` may rank.

    Raises:
        ConfigurationError: The results hold no list of rows.

    >>> from unlearnkit.testing.results import made_up_results
    >>> print(summary(made_up_results(methods=1)).markdown().splitlines()[4][:26])
    | target | 0.990 | 0.980 |
    """
    entries = rows(results)
    quantities = [quantity(key, results) for key in profile(results).columns]
    body = tuple(
        (Cell.text(_name(entry)), *(Cell.spread(entry.values[found.key], found.kind) for found in quantities))
        for entry in entries
    )
    signs = f"↓ lower, ↑ higher, ~ nearer to retrained is better; {MISSING} is missing or not finite."
    if any(spread.of > 1 for entry in entries for spread in entry.values.values()):
        signs += " Mean ± sample standard deviation over seeds."
    return Grid(
        "Summary at the last round",
        (Column("model", ("model",)), *map(Column.of, quantities)),
        body,
        (signs, caption(results)),
        profile(results).abbreviations,
    )


def _name(entry: Entry) -> str:
    """Return a model's name, and that it diverged where it did."""
    if not entry.diverged:
        return entry.label
    seeds = next(iter(entry.values.values())).of
    return (
        f"{entry.label} (diverged)" if seeds == 1 else f"{entry.label} (diverged {entry.diverged} of {seeds})"
    )


def print_tables(results: Results, console: Console | None = None) -> None:
    """Print the summary and the table at matched forgetting, as text where there is no Unicode.

    Args:
        results: A results dict as ``compare`` writes it.
        console: Where to; None is standard output.
    """
    from rich.console import Console

    console = Console() if console is None else console
    tables = _parts(summary(results))
    missing = ""
    try:
        tables.append(matched_table(results))
        # The last table says where both are from.
        tables[0] = replace(tables[0], caption=tables[0].caption[:-1])
    except ConfigurationError as error:
        missing = f"No table at matched forgetting. {error}"
    show(tables, console)
    if missing:
        console.print(missing, markup=False, highlight=False)


def _parts(table: Grid) -> list[Grid]:
    """Split a table of more numbers than a terminal holds; what they mean stands under the first part."""
    found = [
        Grid(
            table.title + (", continued" if low else ""),
            (table.columns[0], *table.columns[1 + low : 1 + low + MOST]),
            tuple((row[0], *row[1 + low : 1 + low + MOST]) for row in table.rows),
        )
        for low in range(0, len(table.columns) - 1, MOST)
    ]
    found[0] = replace(found[0], caption=table.caption, abbreviations=table.abbreviations)
    return found


def show(tables: Sequence[Grid], console: Console) -> None:
    """Print tables one after the other, as text where there is no Unicode."""
    unicode = console.encoding.lower().startswith("utf")
    for table in tables:
        if unicode:
            console.print(table.rich())
        else:
            console.print(table.plain(ascii_only=True), markup=False, highlight=False, soft_wrap=True)
        console.print()
