"""What an evaluation of preferences reads: rows of prompt, chosen and rejected response, in three sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from unlearnkit.errors import DataError, UnknownNameError

SETS = ("test", "forget", "retain")
"""Held-out prompts; rows whose rejected response is to be forgotten; rows whose chosen response is kept."""

ResponseName = Literal["chosen", "rejected"]
Texts = tuple[str, ResponseName]
"""A set, and which of its responses."""


class PreferenceRow(Protocol):
    """One prompt with its responses."""

    @property
    def index(self) -> int:
        """Row number in the whole data set."""
        ...

    @property
    def prompt(self) -> str:
        """The prompt."""
        ...

    @property
    def chosen(self) -> str:
        """The response preferred; of HaluEval, the right one."""
        ...

    @property
    def rejected(self) -> str:
        """The other; of HaluEval, the hallucinated one."""
        ...

    @property
    def reference(self) -> str | None:
        """A response of another model to win against; None takes the chosen one."""
        ...

    @property
    def kind(self) -> str | None:
        """Of the prompt: ``harmful`` (to be refused), ``harmless`` (to be answered), or None where it is not known."""
        ...


class PreferenceData(Protocol):
    """What is asked of a data module after ``setup``; ``reward(prompts, responses)`` is optional."""

    evaluation_sets: Mapping[str, Sequence[PreferenceRow]]
    tokenizer: Any
    split: Any

    def encode(self, prompt: str, response: str) -> tuple[list[int], list[int]]:
        """Return prompt ids, and response ids with EOS."""
        ...


def rows_of(sets: Mapping[str, Sequence[PreferenceRow]], name: str, rows: int | None) -> list[PreferenceRow]:
    """Return a set's first rows.

    Raises:
        DataError: The set is missing or empty.
    """
    if not sets.get(name):
        raise DataError(
            f"`evaluation_sets` must hold rows of {name!r}. Found {'none' if name in sets else 'no such set'}; there "
            f"are {', '.join(sets) or 'no sets'}. Use the data module Preferences, or add the rows."
        )
    return list(sets[name][:rows])


def texts_named(argument: str, value: str) -> Texts:
    """Return the set and the response that ``forget.rejected`` names.

    Raises:
        UnknownNameError: There is no such set or response.

    >>> texts_named("members", "forget.rejected")
    ('forget', 'rejected')
    """
    known: dict[str, Texts] = {
        f"{name}.{part}": (name, part) for name in SETS for part in ("chosen", "rejected")
    }
    if value not in known:
        raise UnknownNameError.among(argument, value, known)
    return known[value]
