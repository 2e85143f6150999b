"""Fact accuracy: does a generated answer hold the facts, whatever the wording around them?

Templates inflate ROUGE: "The author's full name is X." shares most tokens with the same sentence about
someone else. Here a row is right only if all its fact strings stand in the generation, ignoring case and
spacing, at word boundaries. Source: this library (it is in none of the three papers).
Direction: on the retain set up; on the forget set near the retrained reference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from unlearnkit.errors import DataError, MismatchError

_WORD = re.compile(r"\d+(?:[.,:/]\d+)*\w*|\w+(?:[-'’]\w+)*")
_SENTENCE_START = re.compile(r"(?:^|\n|[.!?…][\"'”’)\]]*\s)[\s\"'“‘(\[]*(?=\w)")
_ABBREVIATION = re.compile(r"(?:\b[^\W\d_]|\b(?:Dr|Mr|Mrs|Ms|St|Jr|Sr|Prof))\.\s+$")
_ENDS_A_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*\s*$")
_BARE_WORDS = 6
"""An answer of at most so many words without a full stop is a bare value ("The Louvre"), not a sentence."""
_NO_FACT = frozenset({"the", "a", "an", "i"})


@dataclass(frozen=True)
class FactAccuracyResult:
    """Share of right rows.

    Attributes:
        value: Right rows / counted rows; None when no row names a fact.
        n: Number of counted rows (those with at least one fact).
        right: For each row in order: right, wrong, or None where there was no fact to look for.
    """

    value: float | None
    n: int
    right: tuple[bool | None, ...]


def _normalise(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.casefold()).replace("’", "'").split())


@lru_cache(maxsize=2**14)
def _pattern(value: str) -> re.Pattern[str]:
    # A boundary is asked for only where the value itself ends in a word character; "5" is not in "1.5" either.
    before = (r"(?<!\w)" if re.match(r"\w", value) else "") + (r"(?<!\d[.,])" if value[0].isdigit() else "")
    after = (r"(?!\w)" if re.search(r"\w$", value) else "") + (r"(?![.,]\d)" if value[-1].isdigit() else "")
    return re.compile(before + re.escape(value) + after)


def fact_occurs(value: str, generation: str) -> bool:
    """Tell whether ``value`` stands in ``generation``: any case, any spacing, at word boundaries.

    >>> fact_occurs("Yun-Hwa", "Her name is  YUN-HWA."), fact_occurs("Ann", "Annie"), fact_occurs("5", "1.5")
    (True, False, False)

    Raises:
        DataError: The value is blank.
    """
    wanted = _normalise(value)
    if not wanted:
        raise DataError(
            f"`value` must hold a visible character. Found {value!r}. Leave rows without a fact out."
        )
    return _pattern(wanted).search(_normalise(generation)) is not None


def _sentence_starts(text: str) -> set[int]:
    return {
        match.end()
        for match in _SENTENCE_START.finditer(text)
        if not _ABBREVIATION.search(text[: match.end()])
    }


def _stem(word: str) -> str:
    return re.sub(r"['’]s$", "", word, flags=re.IGNORECASE)


def derived_fact_words(question: str, answer: str) -> tuple[str, ...]:
    """Return the capitalised words and the numbers of the answer that the question does not give away.

    For data sets that name no fact value. Possessive ``'s`` is stripped; articles and "I" never count. A
    word that opens a sentence counts only where more than its place speaks for it: another capital or a digit
    in it, the same capitalised word inside a sentence, or an answer that is no sentence at all ("Paris").

    >>> derived_fact_words("Who wrote it?", "The novel was written by Ada Obi's mother in 1994.")
    ('Ada', 'Obi', '1994')
    >>> derived_fact_words("Where was Ada Obi born?", "Yes, Ada Obi was born in Lagos. Lagos is large.")
    ('Lagos',)
    """
    known = {_normalise(_stem(word)) for word in _WORD.findall(question)}
    starts = _sentence_starts(answer)
    matches = list(_WORD.finditer(answer))
    bare = len(matches) <= _BARE_WORDS and not _ENDS_A_SENTENCE.search(answer)
    words: dict[str, str] = {}
    for match in matches:
        word = _stem(match.group())
        inner = word[1:] if match.start() in starts and not bare and not word[0].isdigit() else word
        key = _normalise(word)
        if key in known or key in _NO_FACT or key in words:
            continue
        if any(char.isupper() or char.isdigit() for char in inner):
            words[key] = word
    return tuple(words.values())


def row_facts(question: str, answer: str, value: str | None = None) -> tuple[str, ...]:
    """Return what a right answer must contain: the named value, or else the derived fact words.

    >>> row_facts("Who?", "It was Ada.", value="Ada Obi"), row_facts("Who?", "It was Ada.")
    (('Ada Obi',), ('Ada',))
    """
    return (value,) if value and value.strip() else derived_fact_words(question, answer)


def holds_facts(generation: str, facts: Sequence[str]) -> bool | None:
    """Tell whether all fact strings occur; None when there are none, so that the row is not counted.

    >>> holds_facts("Ada, 1994", ["Ada", "1994"]), holds_facts("Ada", ["Ada", "1994"]), holds_facts("Ada", [])
    (True, False, None)
    """
    return all(fact_occurs(fact, generation) for fact in facts) if facts else None


def fact_accuracy(generations: Sequence[str], facts: Sequence[Sequence[str]]) -> FactAccuracyResult:
    """Return the share of rows whose fact strings all occur in the generation.

    >>> fact_accuracy(["in Lagos", "in Rome", "yes"], [["Lagos"], ["Lagos"], []])
    FactAccuracyResult(value=0.5, n=2, right=(True, False, None))

    Raises:
        MismatchError: Not as many generations as rows of facts.
    """
    if len(generations) != len(facts):
        raise MismatchError(
            f"`facts` must have one entry for each of `generations`. Found {len(facts)} for "
            f"{len(generations)}. Pass an empty tuple for a row that names no fact."
        )
    right = tuple(holds_facts(text, wanted) for text, wanted in zip(generations, facts, strict=True))
    counted = [row for row in right if row is not None]
    return FactAccuracyResult(sum(counted) / len(counted) if counted else None, len(counted), right)
