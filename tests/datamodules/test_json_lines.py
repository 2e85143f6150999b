"""A line of JSON lines is an object, or the message says where it is not one."""

from pathlib import Path

import pytest

from unlearnkit.datamodules.json_lines import json_object
from unlearnkit.errors import DataError


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"Found another content \(.*\) in rows.jsonl, line 3. Mend or delete that line."),
        (b"\xff", "Found another content"),
        (b"[1]", "Found a list in rows.jsonl, line 3"),
    ],
)
def test_another_content_is_refused(line, message):
    with pytest.raises(DataError, match=message):
        json_object(line, Path("rows.jsonl"), 3)
