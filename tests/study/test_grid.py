"""One table in four forms: no value lost, no text that escapes."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from unlearnkit.plots import quantity
from unlearnkit.study.grid import MISSING, Cell, Column, Grid, Spread

NASTY = "a|b <script>alert(1)</script> [bold]x[/bold] \\ `c`"


def grid(**changes: object) -> Grid:
    columns = (
        Column("model", ("model",)),
        Column.of(quantity("forget_rouge")),
        Column.of(quantity("utility")),
    )
    spreads = [Cell.spread(Spread.over(values), "fraction") for values in ([0.5, 0.7], [0.25, math.nan])]
    rows = ((Cell.text("ga"), *spreads), (Cell.text(NASTY), Cell.text(MISSING), Cell.text("x")))
    fields = {"title": "A table", "columns": columns, "rows": rows, "caption": ("below ↓ ±", NASTY)}
    return Grid(**(fields | {"abbreviations": "F: forget set."} | changes))  # type: ignore[arg-type]


def printed(table: Grid, width: int) -> str:
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(table.rich())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "mean", "std", "n"),
    [([1.0, 3.0], 2.0, math.sqrt(2), 2), ([1.0], 1.0, math.nan, 1), ([math.nan, 4.0], 4.0, math.nan, 1)],
)
def test_the_spread_is_the_sample_s(values: list[float], mean: float, std: float, n: int) -> None:
    found = Spread.over(values)
    assert (found.mean, found.n, found.of) == (mean, n, len(values))
    assert found.std == pytest.approx(std, nan_ok=True)


def test_no_finite_value_is_a_spread_without_a_mean() -> None:
    for values in ([], [math.nan, math.inf]):
        found = Spread.over(values)
        assert math.isnan(found.mean) and math.isnan(found.std) and found.n == 0
        assert Cell.spread(found, "fraction") == Cell.text(MISSING)


@pytest.mark.parametrize(
    ("value", "kind", "wide", "narrow"),
    [
        (0.97351, "fraction", "0.974", "0.97"),
        (1.0, "fraction", "1.000", "1.00"),
        (-0.0, "fraction", "0.000", "0.00"),
        (0.0, "p", "0", "0"),
        (1.94e-119, "p", "2e-119", "2e-119"),
        (0.00098, "p", "1e-3", "1e-3"),
        (0.034, "p", "0.034", "0.03"),
        (0.004, "p", "0.004", "4e-3"),
        (1.0, "p", "1.000", "1.00"),
        (-118.71, "log10", "-119", "-119"),
        (-4.44, "log10", "-4.4", "-4.4"),
        (-0.001, "log10", "0.0", "0.0"),
        (7.46, "seconds", "7.5", "7.5"),
        (1234.5, "seconds", "1234", "1234"),
        (12.0, "count", "12.0", "12.0"),
        (1.5, "loss", "1.500", "1.50"),
        (1e6, "loss", "1e6", "1e6"),
    ],
)
def test_each_kind_is_printed_short_and_legible(value: float, kind: str, wide: str, narrow: str) -> None:
    assert Cell.spread(Spread.over([value]), kind) == Cell(wide, (narrow,))  # type: ignore[arg-type]


def test_seeds_add_the_deviation_and_say_how_many_are_missing() -> None:
    cell = Cell.spread(Spread.over([0.5, 0.7, math.nan]), "fraction")
    assert cell == Cell("0.600 ± 0.141 (2 of 3)", ("0.60", "±.14", "2/3"))


def test_the_head_has_the_arrow_of_the_better_direction() -> None:
    names = [Column.of(quantity(key)).name[-1] for key in ("seconds", "retain_rouge", "forget_truth_ratio")]
    assert names == ["↓", "↑", "~"]
    assert Column.of(quantity("my_score")).name == "my score"


def test_markdown_has_as_many_cells_in_each_row_and_escapes() -> None:
    lines = grid().markdown().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    assert {line.replace("\\|", "").count("|") for line in table} == {4}
    assert table[2] == "| ga | 0.600 ± 0.141 | 0.250 (1 of 2) |"
    assert "<script" not in grid().markdown()
    assert lines[-2] == "below ↓ ±"


def test_markdown_without_a_caption_is_title_and_table() -> None:
    assert grid(caption=()).markdown().startswith("**A table**\n\n| model |")
    assert grid(caption=()).markdown().count("\n") == 6


def test_rich_takes_labels_for_text_and_not_for_markup() -> None:
    text = printed(grid(caption=()), 200)
    assert "[bold]x[/bold]" in text
    assert "±.14" in text and "1/2" in text and MISSING in text
    assert "F: forget set." in text
    assert "".join(NASTY.split()) in "".join(printed(grid(rows=()), 200).split())


def test_plain_lines_up() -> None:
    lines = grid(rows=grid().rows[:1]).plain().splitlines()
    assert lines[:4] == ["A table", "model     F util.", "      ROUGE     ↑", "          ~"]
    assert lines[4] == "-" * 17
    assert lines[5:8] == ["ga     0.60  0.25", "       ±.14   1/2", ""]


def test_plain_can_do_without_unicode() -> None:
    text = grid(rows=((Cell.text("é"), Cell.text(MISSING), Cell.text("±.14")),)).plain(ascii_only=True)
    assert text.isascii()
    assert "below down +-" in text and "up" in text and "+-.14" in text


def test_html_is_balanced_and_escaped() -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.text: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "br":
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_data(self, data: str) -> None:
            assert "script" not in self.open
            self.text.append(data)

    reader = Reader()
    reader.feed(grid().html())
    assert not reader.open
    assert NASTY in reader.text
    assert "0.600 ±\u00a00.141" in reader.text
