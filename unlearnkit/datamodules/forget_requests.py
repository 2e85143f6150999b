"""Requests to forget, one after the other: which authors each asks for, and what is to be kept until it comes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from unlearnkit.datamodules.tofu_files import Row
from unlearnkit.errors import ConfigurationError

EXAMPLE = 'requests=["4", "3", "1-2"]'


@dataclass(frozen=True)
class Asked:
    """The rows of a forget set, by request.

    Attributes:
        requested: Rows of each request up to the one to be forgotten now.
        kept: Rows of later requests and of none.
    """

    requested: list[list[Row]]
    kept: list[Row]


def divide(rows: list[Row], requests: Sequence[str] | None, request: int, questions: int) -> Asked:
    """Divide the forget set's rows into what was asked for up to now, and what is kept until it is.

    Args:
        rows: The forget set, one author after the other.
        requests: Authors of each request, in the order in which they come; None is one request of all.
        request: Number of the one to be forgotten now, from 1 on.
        questions: Questions about each author.

    Raises:
        ConfigurationError: A request is empty, malformed, names somebody who is not there or was asked for before;
            or there is no such request.
    """
    groups = in_authors(rows, questions)
    authors = authors_of([f"1-{len(groups)}"] if requests is None else requests, len(groups))
    require_request(request, len(authors))
    asked = [[row for author in numbers for row in groups[author - 1]] for numbers in authors[:request]]
    gone = {author for numbers in authors[:request] for author in numbers}
    kept = [row for author, group in enumerate(groups, start=1) if author not in gone for row in group]
    return Asked(asked, kept)


def require_request(request: int, requests: int) -> None:
    """Refuse the number of a request that is not there.

    Args:
        request: The number, from 1 on.
        requests: How many requests there are.

    Raises:
        ConfigurationError: There is no such request.
    """
    if not 1 <= request <= requests:
        raise ConfigurationError(
            f"`request` must be from 1 to {requests}, the number of `requests`. Found {request}. Choose one of them."
        )


def authors_of(requests: Sequence[str], authors: int) -> list[list[int]]:
    """Return the authors of each request, by their numbers from 1 on.

    Args:
        requests: Numbers and ranges, with commas between them.
        authors: How many authors there are.

    Raises:
        ConfigurationError: A request is empty or malformed, or somebody is not there or is asked for twice.

    >>> authors_of(["4", "1-2,5"], 5)
    [[4], [1, 2, 5]]
    >>> authors_of(["4", "3-5"], 5)
    Traceback (most recent call last):
    ...
    unlearnkit.errors.ConfigurationError: `requests` must ask for each author once. Found author 4 in request 1 and ...
    """
    if not requests:
        raise ConfigurationError(
            f"`requests` must hold at least one request. Found none. Use e.g. {EXAMPLE}."
        )
    found: list[list[int]] = []
    asked: dict[int, int] = {}
    for number, text in enumerate(requests, start=1):
        found.append(_authors(text, number))
        for author in found[-1]:
            if not 1 <= author <= authors:
                raise ConfigurationError(
                    f"`requests` must ask for authors from 1 to {authors}, those of the forget set. Found {author} in "
                    f"request {number}. Ask for others, or choose a larger forget set."
                )
            if author in asked:
                raise ConfigurationError(
                    f"`requests` must ask for each author once. Found author {author} in request {asked[author]} and "
                    f"in request {number}. Take one out."
                )
            asked[author] = number
    return found


def _authors(text: str, number: int) -> list[int]:
    """Read one request.

    Raises:
        ConfigurationError: It is empty, or holds something else than numbers and ranges.
    """
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        authors = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not authors:
            raise ConfigurationError(
                f"`requests` must hold numbers of authors or ranges of them in each request. Found {text!r} as request "
                f"{number}, which asks for nobody. Use e.g. {EXAMPLE}."
            )
        found += authors
    return found


def in_authors(rows: list[Row], questions: int) -> list[list[Row]]:
    """Cut rows into authors.

    >>> [len(rows) for rows in in_authors([{}] * 5, 2)]
    [2, 2, 1]
    """
    return [rows[low : low + questions] for low in range(0, len(rows), questions)]
