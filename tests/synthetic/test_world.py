from __future__ import annotations

from unlearnkit.synthetic.templates import AUTHOR_TOPICS
from unlearnkit.synthetic.world import World


def test_every_topic_has_a_fact_whether_it_is_asked_or_not():
    facts = World(0).author()
    assert set(facts) == {topic.name for topic in AUTHOR_TOPICS}


def test_names_of_books_towns_and_countries_are_given_once():
    world = World(7)
    people = [world.author() for _ in range(200)]
    titles = [facts[topic] for facts in people for topic in ("debut", "masterpiece")]
    titles += [world.title() for _ in range(200)]
    assert len(set(titles)) == 600
    assert len({facts["town"] for facts in people}) == 200
    assert len({world.country() for _ in range(40)}) == 40


def test_worlds_are_functions_of_the_seed():
    assert World(3).author() == World(3).author() != World(4).author()
