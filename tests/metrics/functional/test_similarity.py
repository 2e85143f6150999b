"""The trigram cosine against vectors written out."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unlearnkit.metrics.functional import trigram_cosine

TEXTS = ["Ada Obi was born in Lagos.", "Born in Lagos: Ada Obi!", "The Garden of Salt", "é", "", "salt salt"]


def naive(first, second):
    grams = []
    for text in (first, second):
        words = [f" {word} " for word in re.findall(r"\w+", text.lower())]
        grams.append([word[i : i + 3] for word in words for i in range(len(word) - 2)])
    known = sorted({*grams[0], *grams[1]})
    a, b = (np.array([side.count(gram) for gram in known], dtype=float) for side in grams)
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm else 0.0


@pytest.mark.parametrize("first", TEXTS)
@pytest.mark.parametrize("second", TEXTS)
def test_every_pair(first, second):
    assert trigram_cosine(first, second) == pytest.approx(naive(first, second))
    assert 0 <= trigram_cosine(first, second) == trigram_cosine(second, first) <= 1


def test_wording_counts_and_unrelated_texts_share_nothing():
    assert trigram_cosine("novels", "novel") > 0.5 > trigram_cosine("novel", "history")
    assert trigram_cosine("Lagos", "Rome") == 0.0
