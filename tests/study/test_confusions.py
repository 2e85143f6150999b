"""Confusion over seeds and its table: sums by hand, and where there is none."""

from __future__ import annotations

from typing import Any

from unlearnkit.study.confusions import ANSWERS, CLASSES, confusion_table, confusions

NAMES = ["cat", "dog", "ox"]


def row(role: str, method: str, own: dict[str, int], seed: int = 0, **changes: Any) -> dict[str, Any]:
    table = {"set": "test", "classes": NAMES, "forgotten": ["dog"], "counts": {"dog": own}} | changes
    return {"role": role, "method": method, "label": method.upper(), "seed": seed, "confusion": table}


ROWS = [
    row("retrained", "retrained", {"cat": 9, "ox": 1}),
    row("target", "target", {"dog": 10}),
    row("method", "ga", {"cat": 6, "dog": 4}),
    row("method", "ga", {"cat": 2, "ox": 8}, seed=1),
]


def test_seeds_are_summed_and_the_target_comes_first_the_reference_last() -> None:
    found = confusions({"rows": ROWS})
    assert found is not None and list(found.models) == ["target", "ga", "retrained"]
    assert found.models["ga"].counts == {"dog": {"cat": 8, "dog": 4, "ox": 8}}
    assert (found.images, found.classes, found.forgotten) == ("test", tuple(NAMES), ("dog",))
    assert ROWS[2]["confusion"]["counts"] == {"dog": {"cat": 6, "dog": 4}}  # as it was


def test_the_table_says_the_most_frequent_answers() -> None:
    grid = confusion_table({"rows": ROWS})
    assert grid is not None
    assert [column.name for column in grid.columns] == ["model", "test images of dog"]
    cells = {name.wide: cell.wide for name, cell in grid.rows}
    assert cells == {"TARGET": "dog: 100", "GA": "cat: 40, ox: 40, dog: 20", "RETRAINED": "cat: 90, ox: 10"}


def test_a_model_that_answers_nothing_has_a_dash() -> None:
    grid = confusion_table({"rows": [*ROWS, row("method", "lost", {})]})
    assert grid is not None and {name.wide: cell.wide for name, cell in grid.rows}["LOST"] == "–"


def test_of_many_classes_and_answers_some_are_shown() -> None:
    many = [f"c{place}" for place in range(200)]
    counts = {name: {other: 200 - place for place, other in enumerate(many[:10])} for name in many[:10]}
    rows = [row("target", "target", {}, classes=[], forgotten=many[:10], counts=counts)]
    grid = confusion_table({"rows": rows})
    assert grid is not None and len(grid.columns) == 1 + CLASSES
    assert grid.rows[0][1].wide.count(":") == ANSWERS
    assert f"The first {CLASSES} of 10 forgotten classes" in grid.caption[0]


def test_where_there_is_none() -> None:
    assert confusions({"rows": []}) is None
    assert confusions({"rows": [*ROWS, {"role": "method", "method": "old", "seed": 0}]}) is None
    assert confusions({"rows": [*ROWS, row("method", "rl", {}, forgotten=["cat"])]}) is None
    assert confusion_table({"rows": [row("target", "target", {}, forgotten=[])]}) is None
