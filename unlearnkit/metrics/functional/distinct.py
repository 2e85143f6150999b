"""Distinct-n and repetition: does a model still say different things? Up, and as low as its parts allow.

A model that was pushed too far repeats itself; metrics that look for refusals or for answers do not notice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from unlearnkit.errors import ConfigurationError

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")

LEAST_DISTINCT = 0.5
"""Share of different pairs of words below which a text is called degenerate."""


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case.

    >>> words_of("I'm here, HERE.")
    ["i'm", 'here', 'here']
    """
    return _WORD.findall(text.casefold())


def n_grams(text: str, n: int) -> list[tuple[str, ...]]:
    """Return each run of n words of a text.

    Raises:
        ConfigurationError: ``n`` is below 1.

    >>> n_grams("a b a b", 2)
    [('a', 'b'), ('b', 'a'), ('a', 'b')]
    """
    if n < 1:
        raise ConfigurationError(f"`n` must be at least 1 word. Found {n}. Use n=2.")
    words = words_of(text)
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Return the number of different runs of n words over the number of all, over all texts together (Li et al. 2016).

    Args:
        texts: What a model says.
        n: Length of a run, in words.

    Returns:
        In (0, 1]; 0 where no text has n words.

    Raises:
        ConfigurationError: ``n`` is below 1.

    >>> distinct_n(["a b a b", "a c"], n=2)
    0.75
    """
    found = [run for text in texts for run in n_grams(text, n)]
    return len(set(found)) / len(found) if found else 0.0


def repeats(text: str) -> bool:
    """Tell whether more than half of a text's pairs of words are repetitions, or whether it has no word at all.

    >>> repeats("no no no no no"), repeats("It is in Rome."), repeats("...")
    (True, False, True)
    """
    words = words_of(text)
    return not words or (len(words) > 1 and distinct_n([text], 2) < LEAST_DISTINCT)
