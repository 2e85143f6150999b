"""What makes a table readable later."""

from __future__ import annotations

import pytest

from unlearnkit.study.protocol import describe


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            {"authors": 8, "questions": None, "forget": "forget05"},
            "generated authors (8 x 10 questions), forget05",
        ),
        ({"path": "folder", "forget": "forget01"}, "folder, forget01"),
        (
            {"path": "folder", "forget": "forget01", "forget_authors": 1},
            "folder, forget01, 1 forget and all retain authors",
        ),
    ],
)
def test_data_in_words(data: dict[str, object], text: str) -> None:
    assert describe(data) == text
