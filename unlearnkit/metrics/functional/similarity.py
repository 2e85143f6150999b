"""Cosine of two texts from counts of character trigrams: similarity of wording that needs no download.

Closer-look (Yuan et al. 2024) takes max(0, cosine) of sentence embeddings of a small network; without that network
this stands in for it, under its own name, because its numbers are others: it knows spelling, not meaning.
Direction: up on the retain set; on the forget set near the retrained reference.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache

_WORD = re.compile(r"\w+")


@lru_cache(maxsize=2**14)
def _trigrams(text: str) -> Counter[str]:
    words = (f" {word} " for word in _WORD.findall(text.casefold()))
    return Counter(word[place : place + 3] for word in words for place in range(len(word) - 2))


def trigram_cosine(first: str, second: str) -> float:
    """Return the cosine between the counts of two texts' character trigrams, word borders included, in [0, 1].

    >>> trigram_cosine("She was born in Lagos.", "born in lagos, she was"), trigram_cosine("Lagos", "")
    (1.0, 0.0)
    """
    a, b = _trigrams(first), _trigrams(second)
    norms = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    shared = sum(count * b[gram] for gram, count in a.items())
    return min(1.0, shared / norms) if norms else 0.0
