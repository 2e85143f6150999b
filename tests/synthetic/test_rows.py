from __future__ import annotations

from unlearnkit.synthetic.rows import author_rows, famous_rows, world_rows
from unlearnkit.synthetic.templates import WORLD_TOPICS
from unlearnkit.synthetic.world import World


def test_wordings_depend_on_the_seed_and_facts_do_not():
    facts = World(0).author()
    first, second = list(author_rows(facts, 12, seed=0)), list(author_rows(facts, 12, seed=1))
    assert [row["value"] for row in first] == [row["value"] for row in second] == list(facts.values())
    assert [row["answer"] for row in first] != [row["answer"] for row in second]


def test_general_answers_are_the_bare_fact():
    rows = [*famous_rows(World(0), 5), *world_rows(World(0), 7)]
    assert all(row["answer"] == row["value"] for row in rows)


def test_world_facts_go_through_the_topics_country_by_country():
    count = len(WORLD_TOPICS)
    rows = list(world_rows(World(0), count + 1))
    country = rows[0]["question"].rstrip("?").split()[-1]
    assert all(country in row["question"] for row in rows[:count])
    assert country not in rows[count]["question"]
