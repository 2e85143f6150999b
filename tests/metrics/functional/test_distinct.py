"""Different runs of words, and texts that repeat themselves."""

from __future__ import annotations

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.metrics.functional import distinct_n, n_grams, repeats, words_of


def test_it_is_the_share_counted_by_hand():
    texts = ["The cat sat. The cat ran.", "the dog", "", "x"]
    runs = [("the", "cat"), ("cat", "sat"), ("sat", "the"), ("the", "cat"), ("cat", "ran"), ("the", "dog")]
    assert sorted(run for text in texts for run in n_grams(text, 2)) == sorted(runs)
    assert distinct_n(texts, 2) == 5 / 6
    assert distinct_n(texts, 1) == 6 / 9
    assert distinct_n(texts, 7) == 0.0 == distinct_n([], 2)


def test_words_keep_apostrophes_and_lose_the_rest():
    assert words_of("I\u2019m \u00c9mile's -- ok?") == ["i\u2019m", "\u00e9mile's", "ok"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", True), ("yes", False), ("a b a b a b", True), ("a b c a b d", False), ("..", True)],
)
def test_repetition(text, expected):
    assert repeats(text) is expected


def test_n_is_at_least_one_word():
    with pytest.raises(ConfigurationError, match="`n` must be at least 1"):
        distinct_n(["a"], 0)
