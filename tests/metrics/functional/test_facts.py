from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional.facts import (
    derived_fact_words,
    fact_accuracy,
    fact_occurs,
    holds_facts,
    row_facts,
)


@pytest.mark.parametrize(
    ("value", "generation", "occurs"),
    [
        ("Lagos", "She was born in lagos.", True),
        ("New York", "in New\n  York City", True),
        ("New York", "in NewYork", False),
        ("Ann", "Annie", False),
        ("Ann", "Joann", False),
        ("Ann", "Ann's", True),
        ("5", "15", False),
        ("5", "1.5", False),
        ("5", "5,000", False),
        ("5", "It has 5.", True),
        ("1,000", "some 1,000 copies", True),
        ("LGBTQ+", "of the LGBTQ+ community", True),
        ("C++", "C++20 and C", True),
        ("(novel)", "a(novel)b", True),
        ("Chukwu’s", "Chukwu's", True),
        ("Ngũgĩ", "Ngu\u0303gi\u0303", True),
        ("STRASSE", "Straße", True),
        ("a.c", "abc", False),
        ("Lagos", "", False),
    ],
)
def test_occurrence(value, generation, occurs):
    assert fact_occurs(value, generation) is occurs


def test_a_blank_value_is_refused():
    with pytest.raises(DataError, match=r"`value` must hold a visible character. Found ' '"):
        fact_occurs(" ", "text")


PLAIN = st.text(alphabet="abcXYZ019 ", min_size=1, max_size=12).filter(str.strip)


@given(PLAIN, PLAIN, PLAIN)
def test_a_value_between_other_words_is_found_in_any_case(value, before, after):
    assert fact_occurs(value, f"{before} {value.swapcase()} - {after}")


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        # Names and numbers count, what the question says does not, in whatever case.
        (
            "What is Chukwu Akabueze's date of birth?",
            "Chukwu Akabueze was born on September 26, 1965.",
            ("September", "26", "1965"),
        ),
        ("Which award did he win?", "The Nebula Award for Best Novel.", ("Nebula", "Best", "Novel")),
        # The opening word of a sentence does not count by its place alone.
        ("Any siblings?", "Yes, two. However, details are scarce.\nPerhaps more.", ()),
        ("Any?", 'He said: "Never." "Maybe he did." (Nobody knows.)', ("Never",)),
        # But it does where it stands capitalised inside a sentence too, or has another capital or a digit.
        ("Where?", "Lagos is where. He loves Lagos.", ("Lagos",)),
        ("Which?", "LGBTQ+ themes. McKay wrote them. 1994 was the year.", ("LGBTQ", "McKay", "1994")),
        ("Who?", "Yun-Hwa did.", ("Yun-Hwa",)),
        # A full stop after an initial or a title ends no sentence.
        ("Who?", "It was Dr. Moreau and J. Verne.", ("Dr", "Moreau", "J", "Verne")),
        # An answer that is no sentence is a value; articles never count.
        ("Capital?", "Paris", ("Paris",)),
        ("Museum?", "The Louvre", ("Louvre",)),
        ("How long?", "21,000 km", ("21,000",)),
        # Possessives lose their 's, straight or curly; repeated words count once.
        ("Whose?", "It is Ada's and Obi’s, not Ada Obi's.", ("Ada", "Obi")),
        ("Is it Ada’s?", "It is Ada's.", ()),
        ("When?", "In the 1990s, on the 25th.", ("1990s", "25th")),
        ("", "", ()),
    ],
)
def test_derived_words(question, answer, words):
    assert derived_fact_words(question, answer) == words


@given(st.text(max_size=80), st.text(max_size=80))
def test_derived_words_occur_in_their_answer_and_are_empty_when_the_question_tells_all(question, answer):
    words = derived_fact_words(question, answer)
    assert len(set(words)) == len(words)
    assert all(word in answer for word in words)
    assert derived_fact_words(answer, answer) == ()


@given(
    st.lists(st.sampled_from(["Ada", "wrote", "1994", "in", "Lagos.", "The", "Obi's", "end"]), max_size=20)
)
def test_the_true_answer_holds_its_facts(words):
    answer = " ".join(words)
    assert holds_facts(answer, derived_fact_words("Who?", answer)) in (True, None)


def test_a_named_value_goes_before_derived_words():
    assert row_facts("Who?", "It was Ada.", value="Ada Obi") == ("Ada Obi",)
    assert row_facts("Who?", "It was Ada.", value=" ") == ("Ada",)


def test_rows_are_right_only_with_all_facts_and_count_only_with_some():
    result = fact_accuracy(["Ada 1994", "Ada", "Ada", "x"], [("Ada", "1994"), ("Ada", "1994"), (), ("Obi",)])
    assert result.right == (True, False, None, False)
    assert (result.value, result.n) == (1 / 3, 3)


def test_no_row_with_facts_gives_none():
    assert fact_accuracy(["x"], [()]).value is None


def test_another_number_of_rows_is_refused():
    with pytest.raises(MismatchError, match=r"`facts` .* Found 1 for 2.* Pass an empty tuple"):
        fact_accuracy(["x", "y"], [()])


def test_facts_separate_target_from_retrained_where_rouge_does_not(tofu_logs):
    """On the forget rows the retrained model has ROUGE-L recall .41 by templates, but knows 6 % of the facts."""

    def accuracy(model):
        rows = tofu_logs[model]["forget"]["generated_text"]
        questions = [prompt.replace("[INST]", "").replace("[/INST]", "") for prompt, _, _ in rows]
        facts = [derived_fact_words(question, row[2]) for question, row in zip(questions, rows, strict=True)]
        return fact_accuracy([row[1] for row in rows], facts)

    full, retrained = accuracy("full"), accuracy("retain90")
    assert full.n == retrained.n == 173
    assert full.value == 169 / 173
    assert retrained.value == 10 / 173
