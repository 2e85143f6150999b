"""What a sequence comes to: numbers by request, paths, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearnkit.evaluators import write
from unlearnkit.study.continual_tables import by_request, paths, tables
from unlearnkit.testing.results import made_up_results

REQUESTS = ["4", "1-2"]


def rows() -> list[dict[str, Any]]:
    """Return made-up rows of two requests: what the first asked for comes back with the second."""
    found = []
    for request in (1, 2):
        for row in made_up_results(methods=1, seeds=2)["rows"]:
            own = {str(k): {"rouge": 0.1 * request + row["seed"] / 10} for k in range(1, request + 1)}
            found.append(row | {"request": request, "by_request": own, "n": {"forget": 7 * request}})
    return found


def results() -> dict[str, Any]:
    return {**made_up_results(methods=1, seeds=2), "rows": rows(), "requests": REQUESTS}


def test_each_requests_rows_are_told_apart(tmp_path: Path) -> None:
    forget = {"index": [8, 3, 4], "rouge": [1.0, 0.5, 0.0], "mean_nll": [0.0, 0.0, None]}
    comparability = {"format": 1}
    write(
        {"comparability": comparability, "summary": {}, "per_sample": {"forget": forget}},
        tmp_path / "evaluation.json",
    )
    # Row 9 was not evaluated; a loss that was not finite is a probability of 0.
    assert by_request(tmp_path, [(8, 9), (3, 4), (7,)]) == {
        "by_request": {"1": {"rouge": 1.0, "probability": 1.0}, "2": {"rouge": 0.25, "probability": 0.5}}
    }


def test_a_path_is_one_model_and_seed_over_requests() -> None:
    found = paths(rows())
    assert len(found) == len({(path["method"], path["seed"]) for path in found}) == 6
    assert all([point["request"] for point in path["path"]] == [1, 2] for path in found)


def test_there_is_a_table_after_each_request_and_one_over_them() -> None:
    first, second, over = tables(results())
    assert first.title == "After request 1 of 2 (authors 4)"
    assert second.title == "After request 2 of 2 (authors 1-2)"
    assert "n: forget 7;" in first.caption[1] and "n: forget 14;" in second.caption[1]
    assert [column.name for column in over.columns] == ["model", "request 1", "request 2"]
    cells = {row[0].wide: [cell.wide for cell in row[1:]] for row in over.rows}
    assert cells["GD, after request 1"] == ["0.150 ± 0.071", "–"]
    assert cells["GD, after request 2"] == ["0.250 ± 0.071", "0.250 ± 0.071"]


@pytest.mark.parametrize("form", ["plain", "markdown", "html"])
def test_tables_print(form: str) -> None:
    assert all(getattr(table, form)() for table in tables(results()))
