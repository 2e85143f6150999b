"""The list of traps fits the code as it stands; ``make traps`` re-introduces them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.traps import ROOT, TRAPS, Trap, table


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.number)
def test_the_change_can_be_made_and_its_test_exists(trap: Trap) -> None:
    text = (ROOT / trap.file).read_text(encoding="utf-8")
    assert text.count(trap.right) == 1, "the text to change must be there once"
    ast.parse(text.replace(trap.right, trap.wrong))
    file, _, name = trap.test.partition("::")
    functions = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert name.partition("[")[0] in functions


def test_the_readme_of_the_tests_holds_the_table() -> None:
    assert table() in (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
