"""The table read from source is what the classes say."""

from __future__ import annotations

import ast

import pytest

from tests.readme_table import BEGIN, END, replaced
from unlearnkit import strategies
from unlearnkit.cli_listing import entries, show, strategy_rows
from unlearnkit.cli_strategies import aligned, markdown, row_of

ROWS = strategy_rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_what_the_class_says(row):
    kind = getattr(strategies, row.name)
    assert (row.kind, row.passes, row.memory, row.state) == (kind.kind, kind.passes, kind.memory, kind.state)
    assert entries("strategies")[row.name] == f"{row.what} ({row.source}).".replace("``", "")
    if row.kind in (
        "loss",
        "gram",
        "coordinates",
    ):  # others hold an optimizer's state, or weights of any number
        assert (row.state == "none") == (not list(kind().buffers()))


def test_every_strategy_has_a_row_with_its_paper():
    assert [row.name for row in ROWS] == list(entries("strategies"))
    assert all(row.source for row in ROWS)
    kinds = {row.kind for row in ROWS}
    assert {"loss", "gram"} <= kinds <= {"loss", "gram", "coordinates", "alternating", "reweighting"}


def test_list_strategies_prints_all_columns_in_line():
    head, *lines = show("strategies").splitlines()
    assert head.split("  ")[0] == "strategy"
    assert [line.split(" ")[0] for line in lines] == [row.name for row in ROWS]
    for column in ("kind", "backward", "extra memory", "state", "what it does (paper, equation)"):
        place = head.index(column)
        assert all(line[place - 1] == " " != line[place] for line in lines)


def test_attributes_are_the_nearest_bases():
    source = '''
class Base:
    kind = "gram"
    passes: str = "2"
    memory = "none"
    state = "none"
class Middle(rooms.Base):
    passes = "3"
class Own(Middle):
    """Do ``f(x)`` (of y) (A 2020, eq. (4); B)."""
    state = "one"
'''
    nodes = {node.name: node for node in ast.parse(source).body}
    row = row_of("Own", nodes)
    assert (row.kind, row.passes, row.memory, row.state) == ("gram", "3", "none", "one")
    assert (row.what, row.source) == ("Do ``f(x)`` (of y)", "A 2020, eq. (4); B")
    assert row_of("Middle", nodes).source == ""
    assert "| – |" in markdown([row_of("Middle", nodes)])
    assert "()" not in aligned([row_of("Middle", nodes)])


def test_the_readmes_table_is_replaced_and_nothing_else():
    text = f"above\n{BEGIN}old\n{END}\nbelow\n"
    assert replaced(text) == f"above\n{BEGIN}{markdown(ROWS)}\n{END}\nbelow\n"
    assert replaced(replaced(text)) == replaced(text)
