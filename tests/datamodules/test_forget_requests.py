"""Requests one after the other: who is asked for, who was, and who is kept until then."""

from __future__ import annotations

from typing import Any

import pytest

from unlearnkit.datamodules.forget_requests import authors_of, divide
from unlearnkit.errors import ConfigurationError

ROWS: list[dict[str, Any]] = [
    {"author": author, "question": number} for author in (1, 2, 3, 4) for number in (0, 1)
]
REQUESTS = ["4", "1-2"]


def authors(rows: list[dict[str, Any]]) -> list[int]:
    return [row["author"] for row in rows]


def test_a_request_is_forgotten_after_those_before_it_and_the_others_are_kept() -> None:
    first, second = (divide(ROWS, REQUESTS, request, questions=2) for request in (1, 2))
    assert [authors(rows) for rows in first.requested] == [[4, 4]]
    assert authors(first.kept) == [1, 1, 2, 2, 3, 3]
    assert [authors(rows) for rows in second.requested] == [[4, 4], [1, 1, 2, 2]]
    assert authors(second.kept) == [3, 3]


def test_without_requests_all_is_asked_for_at_once() -> None:
    asked = divide(ROWS, None, 1, questions=2)
    assert (asked.requested, asked.kept) == ([ROWS], [])


def test_numbers_and_ranges_may_stand_together() -> None:
    assert authors_of(["3, 1-2", "5"], 5) == [[3, 1, 2], [5]]


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "`requests` must hold at least one request. Found none."),
        (["1", ""], "Found '' as request 2, which asks for nobody."),
        (["3-2"], "Found '3-2' as request 1, which asks for nobody."),
        (["Ana"], "Found 'Ana' as request 1"),
        (["1,,2"], "Found '1,,2' as request 1"),
        (["5"], "must ask for authors from 1 to 4, those of the forget set. Found 5 in request 1."),
        (["0"], "Found 0 in request 1."),
        (["1-3", "4", "2"], "Found author 2 in request 1 and in request 3. Take one out."),
        (["1,1"], "Found author 1 in request 1 and in request 1."),
    ],
)
def test_requests_that_ask_for_nobody_or_twice_are_refused(requests: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        divide(ROWS, requests, 1, questions=2)
    assert message in str(caught.value)


@pytest.mark.parametrize("request_", [0, 3])
def test_a_request_that_does_not_come_is_refused(request_: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"`request` must be from 1 to 2.*Found {request_}\."):
        divide(ROWS, REQUESTS, request_, questions=2)
