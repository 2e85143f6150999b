"""What the lexical proxy can tell and what it cannot; closer-look's rule around any judge."""

from __future__ import annotations

import pytest

from unlearnkit.errors import MismatchError
from unlearnkit.metrics.functional import entailed, lexical_entailment, lexical_judge

TRUTH = "The author Ada Obi was born in Lagos in 1970."


@pytest.mark.parametrize(
    ("premise", "expected"),
    [
        (TRUTH, True),
        ("In 1970, the author Ada Obi was born in the town of Lagos, by the sea.", True),
        ("Ada Obi, an author, was born in Lagos in 1971.", False),  # another number
        ("The author Ada Obi was born in Rome in 1970.", True),  # four words of five: the proxy's limit
        ("The writer was born in Rome in 1970.", False),
        ("The author Ada Obi wasn't born in Lagos in 1970.", False),  # denied
        ("", False),
    ],
)
def test_the_proxy(premise, expected):
    assert lexical_entailment(premise, TRUTH) is expected


def test_a_longer_text_entails_a_shorter_one_and_not_the_other_way_round():
    assert lexical_entailment(TRUTH, "born in Lagos")
    assert not lexical_entailment("born in Lagos", TRUTH)


def test_function_words_alone_are_entailed_by_nothing():
    assert not lexical_entailment("She was it.", "It was she.")


def test_refusals():
    refusal = "I'm not sure about that."
    assert lexical_entailment("I am not sure about that topic.", refusal)
    assert lexical_entailment("I can't say, I do not know.", "I cannot say.")
    assert lexical_entailment("I do not know.", "I don’t know.")
    assert not lexical_entailment("I am sure about that.", refusal)


def test_the_side_that_is_the_premise():
    asked = []

    def judge(pairs):
        asked.extend(pairs)
        return lexical_judge(pairs)

    assert entailed([TRUTH], ["Lagos"], judge, generation_first=True) == [True]
    assert entailed([TRUTH], ["Lagos"], judge, generation_first=False) == [False]
    assert asked == [(TRUTH, "Lagos"), ("Lagos", TRUTH)]


def test_little_rouge_is_wrong_without_asking():
    asked = []

    def judge(pairs):
        asked.extend(pairs)
        return [True] * len(pairs)

    truth = "one two three four five six seven eight nine ten"
    rows = ["one", "eleven", "one two"]  # recall 0.1, 0, 0.2
    assert entailed(rows, [truth] * 3, judge, generation_first=True) == [True, False, True]
    assert asked == [("one", truth), ("one two", truth)]


def test_unequal_lists_are_refused():
    with pytest.raises(MismatchError, match=r"`generations` .* Found 2 for 1"):
        entailed(["a", "b"], ["a"], generation_first=True)
