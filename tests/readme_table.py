"""Write the README's table of strategies anew from their source: ``make table``."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.artifacts import atomic_write_text
from unlearnkit.cli_listing import strategy_rows
from unlearnkit.cli_strategies import markdown

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- strategies -->\n", "<!-- end of strategies -->"


def replaced(text: str) -> str:
    """Return a text with today's table between its two marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + markdown(strategy_rows()) + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    atomic_write_text(README, replaced(README.read_text("utf-8")))
