"""TOFU's rows put together: split by text, authors kept, evaluation sets, overlap."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from unlearnkit.datamodules.question_data import QuestionRows
from unlearnkit.datamodules.tofu_files import load_tofu
from unlearnkit.datamodules.tofu_rows import configurations, read_rows
from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.synthetic import fictitious_authors

Made = dict[str, list[dict[str, Any]]]


@pytest.fixture
def made() -> Made:
    return copy.deepcopy(fictitious_authors(authors=20, questions=3, general=4))


def read(made: Made, forget: str = "forget10", **arguments: Any) -> QuestionRows:
    return read_rows(made.__getitem__, forget, **{"questions": 3, **arguments})


@pytest.mark.parametrize(("forget", "authors"), [("forget01", 1), ("forget05", 1), ("forget10", 2)])
def test_every_row_is_on_one_side(made: Made, forget: str, authors: int) -> None:
    split = read(made, forget).split
    assert split.name == forget
    assert split.forget == tuple(range(60 - 3 * authors, 60))
    assert split.retain == tuple(range(60 - 3 * authors))
    assert split.rows == 60


def test_rows_are_recognised_by_text_not_by_position(made: Made) -> None:
    expected = read(made)
    made["full"].reverse()
    made["retain_perturbed"].reverse()
    found = read(made)
    assert found.split.forget == tuple(59 - number for number in expected.split.forget)
    for name in ("forget", "retain"):
        pairs = [
            sorted((row.question, row.perturbed_answers) for row in rows.evaluation_sets[name])
            for rows in (expected, found)
        ]
        assert pairs[0] == pairs[1]


def test_a_row_knows_its_place_and_what_it_is_compared_with(made: Made) -> None:
    data = read(made)
    assert [row.index for row in data.rows] == list(range(60 + 8))
    for name in data.evaluation_sets:
        assert all(data.rows[row.index] is row for row in data.evaluation_sets[name])
    source = made["forget10_perturbed"][0]
    row = data.evaluation_sets["forget"][0]
    assert (row.question, row.answer, row.value) == (source["question"], source["answer"], source["value"])
    assert row.paraphrased_answer == source["paraphrased_answer"]
    assert row.perturbed_answers == tuple(source["perturbed_answer"])
    famous = data.evaluation_sets["real_authors"][0]
    assert famous.index == 60
    assert famous.paraphrased_answer is None
    assert len(famous.perturbed_answers) == 3


def test_the_first_authors_are_kept(made: Made) -> None:
    split = read(made, forget_authors=1, retain_authors=4).split
    assert split.forget == (54, 55, 56)
    assert split.retain == tuple(range(12))


def test_retain_authors_with_perturbed_answers_come_first(made: Made) -> None:
    # The retain set in another order: those with perturbed answers (full 0 to 5) are its last.
    made["retain90"].reverse()
    data = read(made, retain_authors=3)
    assert sorted(data.split.retain)[:6] == [0, 1, 2, 3, 4, 5]
    assert len(data.split.retain) == 9
    assert len(data.evaluation_sets["retain"]) == 6


def test_evaluation_rows_shorten_the_retain_set_alone(made: Made) -> None:
    sets = read(made, evaluation_rows=2).evaluation_sets
    assert {name: len(rows) for name, rows in sets.items()} == {
        "forget": 6,
        "retain": 2,
        "real_authors": 4,
        "world_facts": 4,
    }
    assert read(made, evaluation_rows=2).split.hash == read(made).split.hash


@pytest.mark.parametrize("name", configurations("forget10"))
def test_other_texts_are_another_split(made: Made, name: str) -> None:
    before = read(made).split.hash
    column = "answer" if name in ("full", "forget10", "retain90") else "perturbed_answer"
    found = made[name][0]
    if column == "answer":  # the same row wherever it stands
        for rows in made.values():
            for row in rows:
                if (row["question"], row["answer"]) == (
                    found["question"],
                    found["answer"],
                ) and row is not found:
                    row["answer"] += "!"
        found["answer"] += "!"
    else:
        found["perturbed_answer"] = ["another", *found["perturbed_answer"][1:]]
    assert read(made).split.hash != before


def test_the_real_data(test_data: Path) -> None:
    def load(name: str) -> list[dict[str, Any]]:
        return load_tofu(str(test_data / "TOFU"), name)

    data = read_rows(load, "forget05", forget_authors=5, retain_authors=5)
    assert data.split.forget == tuple(range(3800, 3900))
    assert data.split.retain == tuple(range(100))
    assert {name: len(rows) for name, rows in data.evaluation_sets.items()} == {
        "forget": 100,
        "retain": 100,
        "real_authors": 100,
        "world_facts": 117,
    }
    assert len(data.rows) == 4217


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(("argument", "there"), [("forget_authors", 2), ("retain_authors", 18)])
@pytest.mark.parametrize("found", [0, 19])
def test_more_authors_than_there_are(made: Made, argument: str, there: int, found: int) -> None:
    message = (
        rf"`{argument}` must be from 1 to {there}, the authors there are \(3 questions each\). Found {found}"
    )
    with pytest.raises(ConfigurationError, match=message):
        read(made, **{argument: found})


def test_overlap_between_forget_and_retain(made: Made) -> None:
    shared = made["forget10"][2]
    made["retain90"].append(dict(shared))
    with pytest.raises(
        DataError, match=r"`forget` and `retain` must not share rows. Found 1 .* Take them out"
    ):
        read(made)


def test_a_row_that_is_not_in_full(made: Made) -> None:
    made["forget10"][1] = {"question": "Who is new?", "answer": "This one."}
    message = r"every row of 'forget10' once in 'full' as well. Found 'Who is new\?' not there"
    with pytest.raises(DataError, match=message):
        read(made)


def test_a_row_that_is_there_twice(made: Made) -> None:
    made["retain90"].append(dict(made["retain90"][0]))
    with pytest.raises(DataError, match=r"every row of 'retain90' once in 'full'.*or there less often"):
        read(made)


def test_a_perturbed_configuration_about_other_rows(made: Made) -> None:
    for row in made["forget10_perturbed"]:
        row["question"] += "?"
    with pytest.raises(DataError, match=r"rows of the forget set in its perturbed configuration. Found none"):
        read(made)


def test_held_out_authors_are_on_neither_side(made: Made) -> None:
    whole, data = read(made), read(made, holdout_authors=2)
    found = [row.index for row in data.evaluation_sets["holdout"]]
    assert found == list(whole.split.retain[-6:])
    assert data.split.retain == whole.split.retain[:-6] and data.split.forget == whole.split.forget
    assert "holdout" not in whole.evaluation_sets
    assert data.split.hash != whole.split.hash
    assert not {row.index for row in data.evaluation_sets["retain"]} & set(found)


def test_held_out_authors_go_before_those_that_are_kept(made: Made) -> None:
    data = read(made, holdout_authors=1, retain_authors=3)
    assert len(data.split.retain) == 9
    assert [row.index for row in data.evaluation_sets["holdout"]] == [51, 52, 53]


def test_a_repeated_row_is_held_out_once(made: Made) -> None:
    made["full"][0] = made["retain90"][0] = made["retain90"][53] = made["full"][53]
    data = read(made, holdout_authors=1, evaluation_rows=1)
    assert [row.index for row in data.evaluation_sets["holdout"]] == [51, 52, 53]
    assert 0 in data.split.retain


@pytest.mark.parametrize("authors", [0, 18, 40])
def test_too_many_held_out_authors(made: Made, authors: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"`holdout_authors` must be from 1 to 17.*Found {authors}"):
        read(made, holdout_authors=authors)


def test_requests_of_the_real_data_are_its_nested_forget_sets(test_data: Path) -> None:
    """The last two authors of forget10 are forget01, the last ten are forget05."""

    def load(configuration: str) -> list[dict[str, Any]]:
        return load_tofu(str(test_data / "TOFU"), configuration)

    requests = ["19-20", "11-18", "1-10"]
    asked = [read_rows(load, "forget10", requests=requests, request=k) for k in (1, 2, 3)]
    for found, name in zip(asked, ("forget01", "forget05", "forget10"), strict=True):
        alone = read_rows(load, name)
        assert {*found.earlier, *found.split.forget} == set(alone.split.forget)
        assert set(found.split.retain) == set(alone.split.retain)
        rows = {row.index for row in found.evaluation_sets["forget"]}
        assert rows == set(alone.split.forget)
    assert [len(found.split.forget) for found in asked] == [40, 160, 200]
