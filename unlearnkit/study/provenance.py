"""Where a table comes from: model, data, n, seeds, hardware, date, command."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unlearnkit.plots.paths import Results, rows_of
from unlearnkit.study.grid import MISSING


def caption(results: Results) -> str:
    """Return the provenance in one line; what the results do not say is an en dash, so that it is seen.

    >>> from unlearnkit.testing.results import made_up_results
    >>> caption(made_up_results())[:69]
    'Llama form, 2 layers of 128, 0.52 M parameters, trained from scratch;'
    """
    parts = [text if name == "model" else f"{name}: {text}" for name, text in provenance(results).items()]
    return "; ".join(parts) + "."


def provenance(results: Results) -> dict[str, str]:
    """Return the parts of the caption by name.

    >>> provenance({"rows": [], "protocol": {"n": {"forget": 40}}, "date": "2025-01-31"})["n"]
    'forget 40'
    """
    protocol = results.get("protocol") or {}
    seeds = protocol.get("seeds") or sorted({str(row.get("seed")) for row in rows_of(results)})
    shared = protocol.get("target_seed")
    model = [_text(protocol.get("model")), f"{_size(protocol.get('parameters'))} parameters"]
    if protocol.get("from_scratch"):
        model.append("trained from scratch")
    return {
        "model": ", ".join(model),
        "data": _text(protocol.get("source") or protocol.get("data")),
        "n": _text(protocol.get("n")),
        "seeds": _text(seeds) + ("" if shared is None else f", all from the target of seed {shared}"),
        "hardware": _text(results.get("hardware")),
        "date": _text(results.get("date")),
        "command": _text(results.get("command")),
    }


def path_note(results: Results) -> str:
    """Say on how many rows of each set the paths were evaluated, where that is fewer than all."""
    rows = (results.get("protocol") or {}).get("path_rows")
    if rows and results.get("evaluation") == "generation":
        return f"Along the paths at most {rows} images of each class are generated."
    # Images may lie sorted by class.
    which = f"{rows} evenly spread" if results.get("evaluation") == "classification" else f"the first {rows}"
    return f"Along the paths {which} rows of each set are evaluated." if rows else ""


def _text(value: Any) -> str:
    """Print a value of the protocol; a dict as ``name value`` pairs, a list with commas."""
    if value is None or value in ("", [], {}):
        return MISSING
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{name} {_text(item)}" for name, item in value.items() if item is not None) or MISSING
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return str(value)


def _size(parameters: object) -> str:
    """Print a number of parameters in millions or billions."""
    if not isinstance(parameters, (int, float)) or not math.isfinite(parameters):
        return MISSING
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.2f} M"
