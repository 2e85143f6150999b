"""One table in four forms: rich for a terminal, Markdown, plain text, HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from unlearnkit.plots.quantities import ARROWS, Kind, Quantity

if TYPE_CHECKING:
    from rich.table import Table

MISSING = "–"
"""What stands for a value that is missing or not finite."""

_NO_BREAK = tuple((f" {arrow}", f"\u00a0{arrow}") for arrow in ARROWS.values())

_ASCII = str.maketrans({"–": "-", "±": "+-", "↓": "down", "↑": "up", "≤": "<=", "→": "->"})


@dataclass(frozen=True)
class Spread:
    """A number over seeds.

    Attributes:
        mean: Mean of the finite values, NaN without any.
        std: Sample standard deviation (n - 1), NaN for fewer than two finite values.
        n: How many values are finite.
        of: How many there should be.
    """

    mean: float
    std: float
    n: int
    of: int

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """Summarise one value a seed; NaN where a seed has none.

        >>> Spread.over([1.0, 3.0, math.nan])
        Spread(mean=2.0, std=1.4142135623730951, n=2, of=3)
        """
        finite = [value for value in values if math.isfinite(value)]
        n = len(finite)
        mean = math.fsum(finite) / n if n else math.nan
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in finite) / (n - 1)) if n > 1 else math.nan
        return cls(mean, std, n, len(values))


@dataclass(frozen=True)
class Cell:
    """A table's entry.

    Attributes:
        wide: On one line, three decimals.
        lines: For a terminal's narrow column, two decimals, the deviation below the mean.
    """

    wide: str
    lines: tuple[str, ...]

    @classmethod
    def text(cls, text: str) -> Cell:
        """Hold a text, the same in all forms."""
        return cls(text, (text,))

    @classmethod
    def spread(cls, value: Spread, kind: Kind) -> Cell:
        """Print a number over seeds; how many of them have it is said where not all do.

        >>> Cell.spread(Spread.over([0.96, 0.98]), "fraction")
        Cell(wide='0.970 ± 0.014', lines=('0.97', '±.01'))
        >>> Cell.spread(Spread.over([math.nan]), "fraction").wide
        '–'
        """
        if not value.n:
            return cls.text(MISSING)
        wide, narrow = [_format(value.mean, kind, 3)], [_format(value.mean, kind, 2)]
        if math.isfinite(value.std):
            wide.append(f"± {_format(value.std, kind, 3)}")
            narrow.append(f"±{_format(value.std, kind, 2).removeprefix('0') or '0'}")
        if value.n < value.of:
            wide.append(f"({value.n} of {value.of})")
            narrow.append(f"{value.n}/{value.of}")
        return cls(" ".join(wide), tuple(narrow))


def _format(value: float, kind: Kind, decimals: int) -> str:
    """Print one number in the way of its kind."""
    if kind == "p" and value == 0:  # below the smallest float
        return "0"
    if (kind == "p" and value < 10**-decimals) or (kind == "loss" and abs(value) >= 1000):
        return _exponent(f"{value:.0e}")
    if kind in ("seconds", "log10", "count"):
        decimals = 0 if abs(value) >= 100 else 1
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # adding 0 takes the sign off a zero


def _exponent(text: str) -> str:
    """Shorten ``2e-05`` to ``2e-5``."""
    head, _, power = text.partition("e")
    return f"{head}e{int(power)}"


@dataclass(frozen=True)
class Column:
    """A table's column: its name on one line, and by line for a terminal.

    Attributes:
        name: In words, with the arrow of the better direction.
        lines: The same in few characters a line.
    """

    name: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, quantity: Quantity) -> Column:
        """Head a column with a quantity.

        >>> from unlearnkit.plots import quantity
        >>> Column.of(quantity("retain_fact"))
        Column(name='retain fact accuracy ↑', lines=('R', 'fact', '↑'))
        """
        if quantity.better is None:
            return cls(quantity.name, quantity.brief)
        arrow = ARROWS[quantity.better]
        return cls(f"{quantity.name} {arrow}", (*quantity.brief, arrow))


@dataclass(frozen=True)
class Grid:
    """A table: columns, rows, and the caption that says where it comes from.

    Attributes:
        title: What it shows.
        columns: The first one holds names and is aligned left.
        rows: As many cells in each as there are columns.
        caption: Lines below the table.
        abbreviations: What the narrow columns' heads stand for; shown where they are.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: tuple[str, ...] = ()
    abbreviations: str = ""

    def rich(self) -> Table:
        """Return the table for a terminal 80 columns wide or wider."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(self.title, style="bold"),
            caption=Text("\n".join(self._narrow_caption())),
            caption_justify="left",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=0,  # the box keeps columns one blank apart
            pad_edge=False,
            show_edge=False,
        )
        for place, column in enumerate(self.columns):
            head = Text("\n".join(column.lines))
            if place:
                table.add_column(head, justify="right", no_wrap=True)
            else:  # names give way, numbers never
                table.add_column(head, min_width=9, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text("\n".join(cell.lines)) for cell in row))
        return table

    def _narrow_caption(self) -> list[str]:
        return [line for line in (self.abbreviations, *self.caption) if line]

    def markdown(self) -> str:
        """Return the table as GitHub's Markdown, its title above, the caption as a paragraph below it."""
        lines = [
            f"**{_escape(self.title)}**",
            "",
            _pipes(column.name for column in self.columns),
            _pipes("---:" if place else ":---" for place in range(len(self.columns))),
            *(_pipes(cell.wide for cell in row) for row in self.rows),
        ]
        caption = "\n".join(_escape(line) for line in self.caption)
        return "\n".join(lines) + (f"\n\n{caption}\n" if caption else "\n")

    def plain(self, ascii_only: bool = False) -> str:
        """Return the table as text in fixed columns.

        Args:
            ascii_only: Spell arrows and signs out, for a terminal or log that has no Unicode.
        """
        blocks = [
            [column.lines for column in self.columns],
            *([cell.lines for cell in row] for row in self.rows),
        ]
        lines = [list(line) for block in blocks for line in zip_longest(*block, fillvalue="")]
        heights = [max(map(len, block)) for block in blocks]
        if ascii_only:
            lines = [[_plain(text) for text in line] for line in lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            " ".join(
                entry.rjust(width) if place else entry.ljust(width)
                for place, (entry, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        text.insert(heights[0], "-" * (sum(widths) + len(widths) - 1))
        tail = [_plain(line) if ascii_only else line for line in ("", *self._narrow_caption())]
        title = _plain(self.title) if ascii_only else self.title
        return "\n".join([title, *text, *(tail if len(tail) > 1 else [])]) + "\n"

    def html(self) -> str:
        """Return a ``<table>`` with its caption; every text is escaped."""
        head = "".join(f"<th scope='col'>{_glued(column.name)}</th>" for column in self.columns)
        body = "\n".join(
            f"<tr><th scope='row'>{html.escape(name.wide)}</th>"
            + "".join(f"<td>{_glued(cell.wide)}</td>" for cell in cells)
            + "</tr>"
            for name, *cells in self.rows
        )
        note = "<br>\n".join(map(html.escape, self.caption))
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
        return f"<div class='wide'>{table}</div>\n<p class='caption'>{note}</p>"


def _pipes(texts: Iterable[str]) -> str:
    """Join one Markdown row."""
    return "| " + " | ".join(map(_escape, texts)) + " |"


def _escape(text: str) -> str:
    """Keep a text from ending a Markdown cell or opening a tag."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _glued(text: str) -> str:
    """Escape a text for HTML; a narrow cell breaks it neither after a sign nor before an arrow."""
    for before, after in (
        ("ROUGE-L", "ROUGE\u2011L"),
        ("± ", "±\u00a0"),
        (" of ", "\u00a0of\u00a0"),
        *_NO_BREAK,
    ):
        text = text.replace(before, after)
    return html.escape(text)


def _plain(text: str) -> str:
    """Spell out what ASCII does not have."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()
