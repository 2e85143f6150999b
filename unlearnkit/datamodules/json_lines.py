"""One line of a JSON-lines file, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unlearnkit.errors import DataError


def json_object(line: bytes, file: Path, number: int) -> dict[str, Any]:
    """Return the object that a line holds.

    Args:
        line: The line.
        file: Where it stands, for the message.
        number: Which line it is, for the message.

    Raises:
        DataError: The line is not JSON, or not an object.

    >>> json_object(b'{"text": "a"}', Path("news.jsonl"), 1)
    {'text': 'a'}
    """
    try:
        row = json.loads(line)
    except ValueError as error:  # not JSON, or not UTF-8
        raise DataError(
            f"`path` must hold one JSON object a line. Found another content ({error}) in {file}, line {number}. "
            "Mend or delete that line."
        ) from error
    if not isinstance(row, dict):
        raise DataError(
            f"`path` must hold one JSON object a line. Found a {type(row).__name__} in {file}, line {number}. "
            "Mend or delete that line."
        )
    return row
