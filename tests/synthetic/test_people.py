"""Fictitious people: seeded rows in the columns of closer-look's real data, nobody on two sides."""

from __future__ import annotations

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import fictitious_people

MADE = fictitious_people(people=3, neighbours=5)


def test_everybody_is_asked_twenty_questions_and_lives_on_one_side():
    names = {side: [row["name"] for row in rows] for side, rows in MADE.items()}
    assert {side: len(found) for side, found in names.items()} == {"forget": 60, "neighbor": 100}
    assert {len(set(found)) for found in names.values()} == {3, 5}
    assert not set(names["forget"]) & set(names["neighbor"])


def test_the_same_arguments_give_the_same_rows_and_another_seed_does_not():
    assert fictitious_people(people=3, neighbours=5) == MADE
    assert fictitious_people(people=3, neighbours=5, seed=1)["forget"] != MADE["forget"]


def test_fewer_questions_are_the_first_ones():
    fewer = fictitious_people(people=3, neighbours=5, questions=14)["forget"]
    whole = [row for i, row in enumerate(MADE["forget"]) if i % 20 < 14]
    assert fewer == whole


def test_each_row_says_its_fact_and_five_others():
    for row in [*MADE["forget"], *MADE["neighbor"]]:
        assert row["value"] in row["answer"] and row["value"] in row["paraphrased_answer"]
        assert row["answer"] != row["paraphrased_answer"]
        assert len({*row["perturbed_answer"], row["paraphrased_answer"]}) == 6
        assert not any(row["value"] in wrong for wrong in row["perturbed_answer"])


def test_a_person_is_named_in_the_questions_or_told_by_birth():
    for row in MADE["forget"]:
        assert row["name"] in row["question"] or row["name"] == row["value"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [({"people": 0}, "0"), ({"neighbours": 1}, "1"), ({"questions": 21}, "21"), ({"seed": -1}, "-1")],
)
def test_numbers_out_of_range_are_named(arguments, found):
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be an integer .*Found {found}\."):
        fictitious_people(**arguments)
