from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from unlearnkit.metrics.functional.text import (
    lcs_length,
    rouge,
    rouge_1_recall,
    rouge_l_f,
    rouge_l_recall,
    rouge_tokens,
)

SCORER = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)

WORDS = (
    "the The author authors author's writing written writes relational conditionally ponies dying sky was "
    "as 1994 1990s 2nd naïve café Yun-Hwa LGBTQ+ oed news innings -- . , ’s ß İ ſ Å"
)
SENTENCE = st.lists(st.sampled_from(WORDS.split()), max_size=30).map(" ".join)
ANY_TEXT = st.text(max_size=80)
ALPHANUMERIC = st.text(alphabet="abcdeginstuy019 ", max_size=60)
TEXT = SENTENCE | ANY_TEXT | ALPHANUMERIC


def assert_equals_rouge_score(prediction, target):
    expected = SCORER.score(target, prediction)
    assert rouge(prediction, target) == (
        expected["rougeL"].recall,
        expected["rougeL"].fmeasure,
        expected["rouge1"].recall,
    )


@settings(max_examples=300)
@given(TEXT, TEXT)
@example("", "")
@example("", "a b")
@example("a b", "")
@example("... !?", "words here")
@example("words here", "—–…")
@example("a a a a a b a", "a b a b a a")
@example("\u0130stanbul \ufb01ne", "i\u0307stanbul fine")
@example("line\nbreak\ttab\x00null", "line break tab null")
def test_equals_rouge_score_on_any_text(prediction, target):
    assert_equals_rouge_score(prediction, target)


@settings(max_examples=150)
@given(SENTENCE, st.randoms(use_true_random=False))
def test_equals_rouge_score_on_a_damaged_copy(target, chance):
    words = target.split()
    prediction = " ".join(word for word in words if chance.random() < 0.7)
    assert_equals_rouge_score(prediction, target)


def test_equals_rouge_score_on_very_long_texts():
    chance = random.Random(0)
    vocabulary = ["reading", "reader", "reads", "city", "cities", "of", "1994", "x"]
    target = " ".join(chance.choices(vocabulary, k=900))
    prediction = " ".join(chance.choices(vocabulary, k=700))
    assert_equals_rouge_score(prediction, target)
    assert_equals_rouge_score("word " * 2000, "word")


def test_every_row_of_the_published_logs(tofu_logs):
    checked = 0
    for model in tofu_logs.values():
        for columns in model.values():
            for (_, generation, truth), r_l, r_1 in zip(
                columns["generated_text"], columns["rougeL_recall"], columns["rouge1_recall"], strict=True
            ):
                found = rouge(generation, truth)
                assert (found.rouge_l_recall, found.rouge_1_recall) == (r_l, r_1)
                checked += 1
    assert checked == 2 * 817


def naive_lcs(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


SEQUENCE = st.lists(st.sampled_from("abcd"), max_size=150)


@given(SEQUENCE, SEQUENCE)
def test_lcs_equals_the_table(first, second):
    assert lcs_length(first, second) == naive_lcs(first, second)


@given(SEQUENCE, SEQUENCE)
def test_lcs_is_symmetric_and_bounded(first, second):
    length = lcs_length(first, second)
    assert length == lcs_length(second, first)
    assert 0 <= length <= min(len(first), len(second))
    assert lcs_length(first, first + second) == len(first)


def test_lcs_of_twenty_thousand_tokens():
    chance = random.Random(1)
    tokens = [str(chance.randrange(50)) for _ in range(20_000)]
    assert lcs_length(tokens, tokens[::2]) == 10_000


@given(TEXT, TEXT)
def test_bounds_and_relations(prediction, target):
    found = rouge(prediction, target)
    assert all(0 <= value <= 1 for value in found)
    assert found.rouge_l_recall <= found.rouge_1_recall
    assert rouge_l_recall(prediction, target) == found.rouge_l_recall
    assert rouge_l_f(prediction, target) == found.rouge_l_f
    assert rouge_1_recall(prediction, target) == found.rouge_1_recall


@given(TEXT, TEXT)
def test_longer_predictions_never_lose_recall(prediction, more):
    target = "the author was born in 1994 in a small city"
    longer = f"{prediction} {more}"
    assert rouge_l_recall(longer, target) >= rouge_l_recall(prediction, target)


def test_recall_and_f_differ_when_the_prediction_rambles():
    assert rouge_l_recall("a b c d e f", "a b") == 1.0
    assert rouge_l_f("a b c d e f", "a b") == pytest.approx(0.5)


def test_short_tokens_are_not_stemmed():
    assert rouge_tokens("was flies the") == ["was", "fli", "the"]
