"""The summary table: what it gathers, what it shows, and that collapse does not break it."""

from __future__ import annotations

import math
import re
import statistics
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from rich.console import Console

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots import PROFILES
from unlearnkit.study.grid import MISSING
from unlearnkit.study.table import print_tables, rows, summary
from unlearnkit.testing.results import made_up_results


def printed(results: dict[str, Any], width: int = 80, encoding: str = "utf-8") -> str:
    file = TextIOWrapper(BytesIO(), encoding=encoding)
    print_tables(results, Console(width=width, file=file, color_system=None))
    file.seek(0)
    return file.read()


def of(results: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in results["rows"] if row["method"] == method]


def test_target_and_reference_come_first_whatever_the_order_of_the_rows() -> None:
    results = made_up_results()
    results["rows"].reverse()
    assert [entry.label for entry in rows(results)][:3] == ["target", "retrained", "NGDiff + GeN"]


def test_values_are_mean_and_sample_deviation_over_seeds() -> None:
    results = made_up_results(seeds=3)
    (entry,) = [entry for entry in rows(results) if entry.method == "ga"]
    values = [row["summary"]["retain_fact"] for row in of(results, "ga")]
    assert entry.values["retain_fact"].mean == pytest.approx(statistics.mean(values))
    assert entry.values["retain_fact"].std == pytest.approx(statistics.stdev(values))
    assert entry.values["seconds"].n == 3


def test_the_table_has_the_promised_columns_with_directions() -> None:
    grid = summary(made_up_results())
    names = [column.name for column in grid.columns[1:]]
    assert names == [
        "forget ROUGE-L recall ~", "retain ROUGE-L recall ↑", "forget fact accuracy ~", "retain fact accuracy ↑",
        "forget probability ~", "retain probability ↑", "forget truth ratio ~", "retain truth ratio ↑",
        "model utility ↑", "forget quality (p) ↑", "forget quality (log10 p) ↑", "seconds ↓",
    ]  # fmt: skip
    assert all(len(row) == len(grid.columns) for row in grid.rows)


def test_the_caption_says_where_it_comes_from_and_what_the_signs_mean() -> None:
    one, three = summary(made_up_results()), summary(made_up_results(seeds=3))
    assert "trained from scratch" in one.caption[-1] and "command: unlearnkit compare" in one.caption[-1]
    assert "over seeds" not in one.caption[0]
    assert "Mean ± sample standard deviation over seeds" in three.caption[0]


@pytest.mark.parametrize("seeds", [1, 3])
def test_eighty_columns_hold_every_number(seeds: int) -> None:
    results = made_up_results(seeds=seeds)
    for row in of(results, "ga"):
        row["summary"] |= {"forget_quality": 1.94e-119, "forget_quality_log10": -118.7}
        row["seconds"] = 1234.5
    text = printed(results)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    (line,) = [line for line in text.splitlines() if line.startswith("GA ") and "e-119" in line]
    assert line.split()[-3:] == ["2e-119", "-119", "1234"]


def test_more_numbers_than_eighty_columns_hold_stand_in_a_table_below() -> None:
    results = made_up_results(seeds=3)
    values = {key: 0.5 + 0.01 * place for place, key in enumerate(PROFILES["tofu"].where_known)}
    for row in results["rows"]:
        row["summary"] |= values
        for point in row.get("path", []):
            point |= values
    text = printed(results)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    below = text.split("Summary at the last round, continued")[1]
    (head,) = [line for line in below.splitlines() if "UFE" in line and "MC" in line and "GA" not in line][:1]
    assert head.split()[:3] == ["UFE", "TFE", "MC"]
    ga = [line for line in below.splitlines() if line.startswith("GA ")]
    assert len(ga) == 2  # there, and at matched forgetting
    assert ga[0].split()[1:6] == ["0.50", "0.51", "0.52", "0.53", "0.54"]
    assert len(summary(results).columns) == 18


def test_missing_values_are_dashes_in_every_form() -> None:
    results = made_up_results(seeds=2)
    for value, row in zip((None, math.nan), of(results, "ga"), strict=True):
        row["summary"] = dict.fromkeys(row["summary"], value)
    del of(results, "npo")[1]["summary"]["forget_rouge"]
    of(results, "npo")[0]["summary"] |= {"forget_quality": 0.0, "forget_quality_log10": None}
    of(results, "npo")[1]["summary"] |= {"forget_quality": 0.0, "forget_quality_log10": None}
    grid = summary(results)
    dead = next(row for row in grid.rows if row[0].wide == "GA")
    assert {cell.wide for cell in dead[1:-1]} == {MISSING}
    npo = next(row for row in grid.rows if row[0].wide == "NPO")
    assert npo[1].wide.endswith("(1 of 2)")
    assert [cell.wide for cell in npo[10:12]] == ["0 ± 0", MISSING]
    for text in (grid.markdown(), grid.plain(), grid.html(), printed(results)):
        assert MISSING in text and not re.search(r"\bnan\b", text)


def test_a_row_without_a_summary_is_a_line_of_dashes() -> None:
    grid = summary({"rows": [{"role": "method", "method": "ga", "summary": None}]})
    assert [cell.wide for cell in grid.rows[0]] == ["ga", *[MISSING] * 12]


def test_a_method_that_diverged_is_named_so() -> None:
    results = made_up_results(seeds=2)
    of(results, "ga")[1]["diverged"] = "The forget loss must stay finite."
    assert "GA (diverged 1 of 2)" in [row[0].wide for row in summary(results).rows]
    results = made_up_results()
    of(results, "ga")[0]["diverged"] = "The forget loss must stay finite."
    assert "GA (diverged)" in [row[0].wide for row in summary(results).rows]


def test_the_summary_does_not_rank() -> None:
    results = made_up_results()
    labels = [row[0].wide for row in summary(results).rows[2:]]
    assert labels == ["GD", "GA", "GDiff 0.1", "GDiff 0.5", "GDiff 0.9", "NPO", "LossNorm", "NGDiff + GeN"]
    assert "rank" not in summary(results).markdown()


def test_both_tables_are_printed_and_say_once_where_they_are_from() -> None:
    text = printed(made_up_results(), width=200)
    assert text.index("Summary at the last round") < text.index("At matched forgetting")
    assert " ".join(text.split()).count("command: unlearnkit compare") == 1


def test_without_a_reference_the_summary_is_printed_with_the_reason() -> None:
    results = made_up_results()
    results["rows"] = [row for row in results["rows"] if row["role"] != "retrained"]
    text = " ".join(printed(results).split())
    assert "No table at matched forgetting. `level` must be a finite number." in text
    assert "command: unlearnkit compare" in text


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = printed(made_up_results(seeds=2), encoding="ascii")
    assert text.isascii()
    assert "+-" in text and "At matched forgetting" in text


def test_results_without_rows_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="must hold a list `rows`"):
        summary({})
