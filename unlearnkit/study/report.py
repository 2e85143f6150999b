"""One self-contained page about a comparison: figure, tables, protocol, how to read it, caveats."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterable
from pathlib import Path

from unlearnkit.artifacts import atomic_write_text
from unlearnkit.errors import ConfigurationError
from unlearnkit.plots import profile, quantity, render, save
from unlearnkit.plots.paths import Results, label_of, methods_of, rows_of
from unlearnkit.study.confusions import confusion_table
from unlearnkit.study.figures import Figure, figures
from unlearnkit.study.gap_table import gap_table
from unlearnkit.study.matched import ENOUGH_SEEDS, matched, matched_table
from unlearnkit.study.provenance import path_note, provenance
from unlearnkit.study.table import rows, summary

_CSS = """
:root { color-scheme: light dark;
  --ink: #1b1b1b; --paper: #ffffff; --soft: #5b5b5b; --line: #d5d5d5; --band: #f4f4f4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --soft: #a9adb3; --line: #3b3f45; --band: #202327; }
}
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif;
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p, li, dd { max-width: 46rem; }
.soft, .caption { color: var(--soft); }
.caption { font-size: .85rem; max-width: none; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .4rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: bottom; }
th:first-child { text-align: left; }
thead th { min-width: 3.7rem; }
th[scope=row] { white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--band); }
.facts th, .facts td { text-align: left; vertical-align: top; }
.facts tbody td { white-space: pre-wrap; overflow-wrap: anywhere; }
.card { background: #ffffff; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem;
  max-width: 46rem; }
.card img { width: 100%; height: auto; display: block; }
code { background: var(--band); padding: .1rem .3rem; border-radius: .25rem; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0 0 0 1.2rem; }
"""

_HOW_TO_READ = (
    "The target has learned everything; the retrained reference never saw the forget set. Unlearning should "
    "move the target to where the reference is, without the price of retraining.",
    "In the figure each method walks from the target (square); its last point is marked. Left is more "
    "forgotten, up is more kept, and the star with the dashed lines is the retrained reference.",
    "A path left of the vertical dashed line has forgotten more than a model that never saw the data: "
    "that is over-forgetting, not a better result.",
    "The summary shows last rounds, at which methods have forgotten unequally: compare methods only in the "
    "table at matched forgetting.",
)


def write_report(folder: str | os.PathLike[str], results: Results) -> Path:
    """Write ``report.html`` into a folder, whole or not at all; it needs no other file.

    Args:
        folder: Made where it is not there.
        results: A results dict as ``compare`` writes it.

    Returns:
        The path of the report.

    Raises:
        ConfigurationError: The results hold no list of rows.

    >>> import tempfile
    >>> from unlearnkit.testing.results import made_up_results
    >>> write_report(tempfile.mkdtemp(), made_up_results(methods=2)).name
    'report.html'
    """
    path = Path(folder) / "report.html"
    atomic_write_text(path, report_html(results, folder))
    return path


def write_figures(folder: str | os.PathLike[str], results: Results) -> list[Path]:
    """Write the trade-off figure as ``tradeoff.png`` and ``tradeoff.svg`` into a folder, others likewise.

    Where paths are known there are ``curves`` (``curves_1``, ``curves_2``, ... of many methods), of classifiers
    ``confusion`` besides.

    Args:
        folder: Made where it is not there.
        results: A results dict as ``compare`` writes it.

    Returns:
        The paths written.

    Raises:
        ConfigurationError: The results hold no list of rows.
    """
    return [
        path for figure in figures(results, folder) for path in save(figure.axes, Path(folder) / figure.stem)
    ]


def report_html(results: Results, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the page as text; generated images are shown where the comparison's folder is given."""
    facts = {name: html.escape(text) for name, text in provenance(results).items()}
    title = "Unlearning compared: what was forgotten, and what it cost"
    last_round = summary(results)
    first, *others = figures(results, folder)
    sections = [
        f"<h1>{title}</h1>",
        f"<p class='soft'>{facts['model']}; data: {facts['data']}; {facts['date']}</p>",
        f"<h2>{first.title}</h2>",
        _image(first),
        "<h2>How to read this</h2>",
        _items(_HOW_TO_READ),
        "<h2>Caveats</h2>",
        _items(caveats(results)),
        f"<h2>{html.escape(last_round.title)}</h2>",
        last_round.html(),
        *_over_seeds(results),
        *_matched(results),
        *_others(others),
        *_confused(results),
        "<h2>What the columns mean</h2>",
        _meanings(results),
        "<h2>Protocol</h2>",
        _protocol(results, facts["command"]),
    ]
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{title}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def caveats(results: Results) -> list[str]:
    """Say what these results do not show.

    >>> from unlearnkit.testing.results import made_up_results
    >>> caveats(made_up_results())[0]
    '1 seed is not a ranking: differences may be chance. Ranks need 5 seeds or more.'
    """
    methods = methods_of(results)
    seeds = min(map(len, methods.values()), default=0)
    found = []
    if seeds < ENOUGH_SEEDS:
        given = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
        found.append(
            f"{given} not a ranking: differences may be chance. Ranks need {ENOUGH_SEEDS} seeds or more."
        )
    if not rows_of(results, "retrained"):
        found.append("There is no retrained reference: nothing says how much forgetting is enough.")
    protocol = results.get("protocol") or {}
    if protocol.get("from_scratch"):
        found.append(
            "The model was trained from scratch: orders of methods need not hold for a pretrained one."
        )
    if protocol.get("tuning"):
        found.append(f"Tuning: {protocol['tuning']}.")
    if path_note(results):
        found.append(f"{path_note(results)} The summary is on all rows.")
    found += [
        f"{label_of(row)}, seed {row.get('seed')}, diverged: {row['diverged']}"
        for row in rows_of(results, "method")
        if row.get("diverged")
    ]
    blank = [
        entry.label
        for entry in rows(results)
        if any(
            value.n < value.of for key, value in entry.values.items() if not key.startswith("forget_quality")
        )
    ]
    if blank:
        found.append(
            f"Values are missing or not finite (an en dash, or n of m seeds) for: {', '.join(blank)}."
        )
    pathless = [
        label_of(seeds_of[0]) for seeds_of in methods.values() if not any(row.get("path") for row in seeds_of)
    ]
    if pathless:
        found.append(f"No path was recorded, so no rank at matched forgetting, for: {', '.join(pathless)}.")
    found.append(
        "Low numbers on the forget set show that the model does not say it, not that it does not know it: "
        "relearning, probing and quantization may bring it back."
    )
    if "forget_quality" in profile(results).columns:
        found.append(
            "A p-value of forget quality depends on the number of questions: compare it only at equal n. A large "
            "one does not prove that two models are the same."
        )
    return found


def _image(figure: Figure) -> str:
    """Return a figure as an image inside the page, on white in both themes."""
    content = base64.b64encode(render(figure.axes, "svg")).decode()
    text = html.escape(figure.text)
    return f"<div class='card'><img alt=\"{text}\" src='data:image/svg+xml;base64,{content}'></div>"


def _others(found: list[Figure]) -> list[str]:
    """Return the figures besides the trade-off, each heading once."""
    sections: list[str] = []
    for place, figure in enumerate(found):
        if not place or figure.title != found[place - 1].title:
            sections.append(f"<h2>{html.escape(figure.title)}</h2>")
        sections += [_image(figure), f"<p class='caption'>{html.escape(figure.text)}</p>"]
    return sections


def _confused(results: Results) -> list[str]:
    """Return the section on what forgotten classes are taken for, where there is one."""
    grid = confusion_table(results)
    return [] if grid is None else [f"<h2>{html.escape(grid.title)}</h2>", grid.html()]


def _over_seeds(results: Results) -> list[str]:
    """Return the section on gap and spread, where there is one."""
    grid = gap_table(results)
    return [] if grid is None else [f"<h2>{html.escape(grid.title)}</h2>", grid.html()]


def _matched(results: Results) -> list[str]:
    """Return the section on matched forgetting, or why there is none."""
    try:
        grid = matched_table(results, matched(results))
    except ConfigurationError as error:
        return ["<h2>Matched forgetting</h2>", f"<p>{html.escape(str(error))}</p>"]
    return [f"<h2>{html.escape(grid.title)}</h2>", grid.html()]


def _meanings(results: Results) -> str:
    """Return a line on each column, and its exact definition where the results give one."""
    definitions = results.get("definitions") or {}
    lines = []
    for key in profile(results).columns:
        found = quantity(key, results)
        exact = definitions.get(key) or definitions.get(key.partition("_")[2])  # of one set, or of all
        more = f"<br><span class='soft'>Exactly: {html.escape(str(exact))}</span>" if exact else ""
        lines.append(f"<dt>{html.escape(found.name)}</dt><dd>{html.escape(found.meaning)}{more}</dd>")
    return "<dl>" + "\n".join(lines) + "</dl>"


def _protocol(results: Results, command: str) -> str:
    """Return everything that the results say of how they were made."""
    lines = [("command", f"<code>{command}</code>"), ("date", html.escape(str(results.get("date"))))]
    for part in ("protocol", "hardware", "versions"):
        content = results.get(part) or {}
        named = content if isinstance(content, dict) else {"": content}
        lines += [(f"{part}: {name}", html.escape(_shown(value))) for name, value in named.items()]
    body = "\n".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{text}</td></tr>" for name, text in lines
    )
    return f"<div class='wide'><table class='facts'><tbody>\n{body}\n</tbody></table></div>"


def _shown(value: object) -> str:
    """Print a setting: nested ones as indented JSON, others as they are."""
    return (
        json.dumps(value, indent=1, ensure_ascii=False, default=str)
        if isinstance(value, dict)
        else str(value)
    )


def _items(lines: Iterable[str]) -> str:
    """Return a list."""
    return "<ul>" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
