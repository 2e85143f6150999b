"""What models take images for, before and after unlearning: sums over seeds, and the table of forgotten classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unlearnkit.plots.paths import Results, Row, label_of, methods_of, rows_of
from unlearnkit.study.grid import MISSING, Cell, Column, Grid
from unlearnkit.study.provenance import caption

ANSWERS = 3
"""Answers in a cell."""

CLASSES = 5
"""Forgotten classes in the table at most."""

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Confusion:
    """What one model takes images for, summed over its seeds.

    Attributes:
        label: The model's name to print.
        counts: Label -> predicted class -> images.
    """

    label: str
    counts: Counts


@dataclass(frozen=True)
class Confusions:
    """Of which images, and what each model takes them for.

    Attributes:
        images: ``test`` or ``forget``.
        classes: All names where there are few enough to draw, else none.
        forgotten: Classes of which no image is retained.
        models: By method's name; ``target`` first, ``retrained`` last.
    """

    images: str
    classes: tuple[str, ...]
    forgotten: tuple[str, ...]
    models: dict[str, Confusion]


def confusions(results: Results) -> Confusions | None:
    """Gather the confusion of each model; None where a model has none, or seeds forget different classes.

    Args:
        results: A results dict as ``compare`` writes it, of ClassificationEvaluator.

    >>> table = {"set": "forget", "classes": ["a"], "forgotten": [], "counts": {"a": {"a": 2}}}
    >>> row = {"role": "target", "method": "target", "confusion": table}
    >>> confusions({"rows": [row, row]}).models["target"].counts
    {'a': {'a': 4}}
    """
    groups = {"target": rows_of(results, "target"), **methods_of(results)}
    groups["retrained"] = rows_of(results, "retrained")
    groups = {name: rows for name, rows in groups.items() if rows}
    found = [row.get("confusion") for rows in groups.values() for row in rows]
    if not found or not all(found):
        return None
    kinds = [(table["set"], table["classes"], table["forgotten"]) for table in found if table]
    if any(kind != kinds[0] for kind in kinds):
        return None
    images, classes, forgotten = kinds[0]
    models = {name: Confusion(label_of(rows[0]), _sum(rows)) for name, rows in groups.items()}
    return Confusions(images, tuple(classes), tuple(forgotten), models)


def _sum(rows: Sequence[Row]) -> Counts:
    total: Counts = {}
    for row in rows:
        for true, answers in row["confusion"]["counts"].items():
            own = total.setdefault(true, {})
            for answer, images in answers.items():
                own[answer] = own.get(answer, 0) + images
    return total


def confusion_table(results: Results) -> Grid | None:
    """Return what each model takes the forgotten classes' images for, most frequent answers first, in per cent.

    Args:
        results: A results dict as ``compare`` writes it.

    Returns:
        The table, or None where no whole class is forgotten or the results hold no confusion.

    >>> from unlearnkit.testing.results import made_up_results
    >>> confusion_table(made_up_results()) is None
    True
    """
    found = confusions(results)
    if found is None or not found.forgotten:
        return None
    named = found.forgotten[:CLASSES]
    body = tuple(
        (Cell.text(model.label), *(_answers(model.counts.get(name, {})) for name in named))
        for model in found.models.values()
    )
    note = f"The {ANSWERS} most frequent answers at the last round, summed over seeds."
    if len(found.forgotten) > CLASSES:
        note += f" The first {CLASSES} of {len(found.forgotten)} forgotten classes."
    columns = [Column(f"{found.images} images of {name}", tuple(name.split())) for name in named]
    return Grid(
        "What forgotten classes are taken for, per cent",
        (Column("model", ("model",)), *columns),
        body,
        (note, caption(results)),
    )


def _answers(counts: dict[str, int]) -> Cell:
    total = sum(counts.values())
    best = sorted(counts.items(), key=lambda item: -item[1])[:ANSWERS]
    parts = [f"{name}: {100 * images / total:.0f}" for name, images in best]
    return Cell(", ".join(parts) or MISSING, tuple(parts) or (MISSING,))
