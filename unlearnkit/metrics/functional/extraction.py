"""Exact memorisation and extraction strength: how much of an answer greedy decoding gives back.

Both read, for each token of the true answer without its EOS, whether it is the model's most likely next token
after the true tokens before it ("hit"). Nothing is generated. Sources: exact memorisation, Tirumala et al. 2022;
extraction strength, Carlini et al. 2021, in the forms of open-unlearning (2025).
Direction: down on the forget set, ideally to the retrained reference; up on the retain set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unlearnkit.errors import ConfigurationError, DataError

ExtractionConvention = Literal["fraction", "open-unlearning"]


def exact_memorisation(hits: Sequence[bool]) -> float:
    """Return the share of the answer's tokens that are the most likely next token, in [0, 1].

    Args:
        hits: For each token of the answer, its EOS left out, whether it is the most likely one.

    >>> exact_memorisation([True, False, True, True])
    0.75

    Raises:
        DataError: There are no tokens.
    """
    _require_tokens(hits)
    return sum(map(bool, hits)) / len(hits)


def extraction_strength(hits: Sequence[bool], convention: ExtractionConvention = "fraction") -> float:
    """Return 1 - k/n: the model gives the whole answer back once it has read the first k of its n tokens.

    ``fraction`` lets k reach n, so an answer whose last token is missed has strength 0. open-unlearning's loop ends
    at k = n - 1, hit or not: no answer has less than 1/n there, and one of a single token always has 1.

    Args:
        hits: For each token of the answer, its EOS left out, whether it is the most likely one.
        convention: Which of the two.

    >>> hits = [True, False, True, True]
    >>> extraction_strength(hits), extraction_strength([False]), extraction_strength([False], "open-unlearning")
    (0.5, 0.0, 1.0)

    Raises:
        ConfigurationError: An unknown convention.
        DataError: There are no tokens.
    """
    _require_tokens(hits)
    if convention not in ("fraction", "open-unlearning"):
        raise ConfigurationError(
            f"`convention` must be 'fraction' or 'open-unlearning'. Found {convention!r}. Choose one of them."
        )
    known = next((n for n, hit in enumerate(reversed(hits)) if not hit), len(hits))
    return (known if convention == "fraction" else max(known, 1)) / len(hits)


def _require_tokens(hits: Sequence[bool]) -> None:
    if not len(hits):
        raise DataError(
            "`hits` must hold at least one token. Found none. Leave out answers that have no token before EOS."
        )
