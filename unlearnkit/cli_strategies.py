"""The table of strategies, read from their source: ``unlearnkit list strategies`` and the README's (``make table``).

A strategy's first docstring line says what it does and
ends in its paper and equation in parentheses; what a round costs are attributes of its class.
"""

from __future__ import annotations

import ast
import re
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Row:
    """What the table says of one strategy.

    Attributes:
        name: Name of the class.
        kind: What weights are made of: ``loss``, ``gram``, ``coordinates``; or ``alternating``, ``reweighting``.
        passes: Backward passes of a round.
        memory: What a round holds beside two plain passes.
        state: What is carried from round to round.
        what: What it does, with code quotes.
        source: Paper and equation.
    """

    name: str
    kind: str
    passes: str
    memory: str
    state: str
    what: str
    source: str


HEADS = Row("strategy", "kind", "backward", "extra memory", "state", "what it does", "paper, equation")


def row_of(name: str, nodes: dict[str, ast.ClassDef]) -> Row:
    """Return the row of a strategy from the classes of its room."""
    first = (ast.get_docstring(nodes[name]) or "").partition("\n")[0]
    found = re.fullmatch(r"(.*?) \(([^()]*(?:\([^()]*\)[^()]*)*)\)\.", first)
    what, source = found.groups() if found else (first.rstrip("."), "")
    kind, passes, memory, state = (
        _attribute(part, name, nodes) for part in ("kind", "passes", "memory", "state")
    )
    return Row(name, kind, passes, memory, state, what, source)


def aligned(rows: list[Row]) -> str:
    """Return the rows as lines of plain text under their heads, for a terminal."""
    cells = [[part.replace("``", "") for part in astuple(row)] for row in (HEADS, *rows)]
    for cell in cells:
        what, source = cell[-2:]
        cell[-2:] = [f"{what} ({source})" if source else what]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{part:<{width}}" for part, width in zip(cell, widths, strict=True)).rstrip()
        for cell in cells
    )


def markdown(rows: list[Row]) -> str:
    r"""Return the rows as a table in Markdown.

    >>> print(markdown([Row("A", "gram", "2", "1 gradient", "none", "Add ``|g|``", "paper 1, eq. 2")]))
    | strategy | what it does | paper, equation | kind | backward | extra memory | state |
    |:---|:---|:---|:---|:---|:---|:---|
    | `A` | Add `\|g\|` | paper 1, eq. 2 | gram | 2 | 1 gradient | none |
    """

    def line(row: Row, name: str) -> str:
        parts = (name, row.what, row.source or "–", row.kind, row.passes, row.memory, row.state)
        return "| " + " | ".join(part.replace("``", "`").replace("|", r"\|") for part in parts) + " |"

    return "\n".join(
        [line(HEADS, HEADS.name), "|" + ":---|" * 7, *(line(row, f"`{row.name}`") for row in rows)]
    )


def _attribute(attribute: str, name: str, nodes: dict[str, ast.ClassDef]) -> str:
    """Return a class's attribute as it stands in the source, its own or that of the nearest base."""
    for part in nodes[name].body:
        target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
        if isinstance(target, ast.Name) and target.id == attribute:
            return str(ast.literal_eval(part.value))  # type: ignore[attr-defined]
    bases = (ast.unparse(base).rpartition(".")[2] for base in nodes[name].bases)
    return next(_attribute(attribute, base, nodes) for base in bases if base in nodes)
