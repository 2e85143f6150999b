from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import fictitious_authors

CONFIGURATIONS = {
    "full",
    "forget01",
    "forget05",
    "forget10",
    "retain99",
    "retain95",
    "retain90",
    "forget01_perturbed",
    "forget05_perturbed",
    "forget10_perturbed",
    "retain_perturbed",
    "real_authors_perturbed",
    "world_facts_perturbed",
}
worlds = st.builds(
    fictitious_authors,
    authors=st.integers(2, 30),
    questions=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    general=st.integers(1, 12),
)


def test_default_world_has_the_sizes_of_tofu_at_a_fifth_of_the_authors():
    world = fictitious_authors()
    assert {name: len(rows) for name, rows in world.items()} == {
        "full": 400,
        "forget01": 10,
        "forget05": 20,
        "forget10": 40,
        "retain99": 390,
        "retain95": 380,
        "retain90": 360,
        "forget01_perturbed": 10,
        "forget05_perturbed": 20,
        "forget10_perturbed": 40,
        "retain_perturbed": 40,
        "real_authors_perturbed": 40,
        "world_facts_perturbed": 40,
    }


def test_same_seed_gives_the_same_bytes_on_every_machine():
    text = json.dumps(fictitious_authors(authors=3, questions=12, seed=5, general=6))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "91147373416ee9be"


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_configurations_nest_as_on_the_hub(world):
    assert set(world) == CONFIGURATIONS
    for forget, retain in (("forget01", "retain99"), ("forget05", "retain95"), ("forget10", "retain90")):
        assert world["full"] == world[retain] + world[forget]
        assert world[forget]
        assert world[retain]
        bare = [
            {key: row[key] for key in ("question", "answer", "value")} for row in world[f"{forget}_perturbed"]
        ]
        assert bare == world[forget]
    for small, large in (("forget01", "forget05"), ("forget05", "forget10")):
        assert world[large][-len(world[small]) :] == world[small]
    shown = world["retain_perturbed"]
    assert [row["question"] for row in shown] == [row["question"] for row in world["retain90"][: len(shown)]]
    assert len(shown) == len(world["forget10"])


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_the_value_is_in_the_answer_and_not_in_the_question(world):
    for rows in world.values():
        for row in rows:
            assert row["value"] in row["answer"]
            assert row["value"] not in row["question"]


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_wrong_answers_keep_the_wording_and_change_the_fact(world):
    for name, count in (("forget10_perturbed", 5), ("retain_perturbed", 5), ("world_facts_perturbed", 3)):
        for row in world[name]:
            right = row.get("paraphrased_answer", row["answer"])
            assert row["value"] in right
            assert len(set(row["perturbed_answer"])) == count
            before, after = right.split(row["value"], 1)
            for wrong in row["perturbed_answer"]:
                assert row["value"] not in wrong
                assert wrong.startswith(before) and wrong.endswith(after)
                assert len(wrong) > len(before) + len(after)


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_columns_are_the_public_ones_with_value(world):
    bare = ["question", "answer", "value"]
    variants = [
        "question",
        "answer",
        "paraphrased_answer",
        "perturbed_answer",
        "paraphrased_question",
        "value",
    ]
    short = ["question", "answer", "perturbed_answer", "value"]
    for name, rows in world.items():
        columns = bare if not name.endswith("_perturbed") else variants
        columns = short if name in ("real_authors_perturbed", "world_facts_perturbed") else columns
        assert all(list(row) == columns for row in rows)


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_paraphrases_differ_from_what_they_paraphrase(world):
    for row in world["forget10_perturbed"] + world["retain_perturbed"]:
        assert row["paraphrased_answer"] != row["answer"]
        assert row["paraphrased_question"] != row["question"]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_questions_are_answerable_each_with_one_answer(seed):
    world = fictitious_authors(authors=60, questions=12, seed=seed)
    rows = world["full"] + world["real_authors_perturbed"] + world["world_facts_perturbed"]
    assert len({row["question"] for row in rows}) == len(rows)
    authors = [world["full"][start : start + 12] for start in range(0, 720, 12)]
    assert len({first["value"] for first, *_ in authors}) == 60
    for first, *others in authors:
        assert all(first["value"] in row["question"] for row in others)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_first_and_last_names_belong_to_one_person_each(seed):
    world = fictitious_authors(authors=200, questions=1, seed=seed, general=200)
    people = [row["value"].split() for row in world["full"] + world["real_authors_perturbed"]]
    assert len({given for given, _ in people}) == len({last for _, last in people}) == 400


def test_every_topic_uses_several_wordings_that_the_question_does_not_give_away():
    world = fictitious_authors(authors=100, questions=12)
    for topic in range(12):
        pairs = set()
        for row in world["full"][topic::12]:
            name = world["full"][world["full"].index(row) - topic]["value"]
            opening = row["question"].split()[0]
            answer = (
                row["answer"]
                .replace(row["value"], "#")
                .replace(name, "NAME")
                .replace(name.split()[1], "LAST")
            )
            pairs.add((opening, " ".join(answer.split()[:2])))
        answers = {answer for _, answer in pairs}
        assert len(answers) >= 4
        assert len(pairs) > len(answers)


def test_another_seed_is_another_world():
    first, second = fictitious_authors(seed=0), fictitious_authors(seed=1)
    people = [{row["value"] for row in world["full"][::10]} for world in (first, second)]
    assert not people[0] & people[1]


def test_more_questions_leave_the_earlier_ones_as_they_are():
    few, many = fictitious_authors(questions=3), fictitious_authors(questions=7)
    assert few["full"][3:6] == many["full"][7:10]


def test_rows_of_one_configuration_can_be_changed_without_touching_another():
    world = fictitious_authors(authors=2, questions=1, general=1)
    world["forget10"][0]["answer"] = "changed"
    assert world["full"][-1]["answer"] != "changed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"authors": 1}, r"`authors` must be an integer from 2 to 200\. Found 1\."),
        ({"authors": 201}, r"`authors` must be an integer from 2 to 200\. Found 201\."),
        ({"authors": 4.0}, r"`authors` must be an integer .*Found 4\.0\."),
        ({"questions": 0}, r"`questions` must be an integer from 1 to 12\. Found 0\."),
        ({"questions": 13}, r"`questions` must be an integer from 1 to 12\. Found 13\."),
        ({"questions": True}, r"`questions` must be .*Found True\."),
        ({"seed": -1}, r"`seed` must be an integer of at least 0\. Found -1\."),
        ({"seed": "0"}, r"`seed` must be .*Found '0'\."),
        ({"general": 0}, r"`general` must be an integer from 1 to 200\. Found 0\."),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        fictitious_authors(**arguments)
