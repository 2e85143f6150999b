"""Fictitious people in the form of paper 002's real data: some to forget, and neighbours to keep and to test."""

from __future__ import annotations

from random import Random

from unlearnkit.synthetic.arguments import require_integer
from unlearnkit.synthetic.people_topics import PEOPLE_TOPICS
from unlearnkit.synthetic.rows import Row, author_rows
from unlearnkit.synthetic.world import World

MAX_PEOPLE = 200


def fictitious_people(
    people: int = 20, neighbours: int = 40, questions: int = 20, seed: int = 0
) -> dict[str, list[Row]]:
    """Make questions about people who do not exist: 20 people and 40 neighbours of 20 questions in paper 002.

    Columns are those of closer-look's real data (``name``, ``question``, ``answer``, ``paraphrased_answer``,
    ``paraphrased_question``, ``perturbed_answer``, five wrong answers) and ``value``, the fact as it stands in the
    answer. The same arguments give the same rows on every machine.

    Args:
        people: People to forget, 1 to 200.
        neighbours: Others, 2 to 200.
        questions: Questions about each, 1 to 20.
        seed: Which world.

    Returns:
        ``forget`` and ``neighbor``, one person after the other.

    Raises:
        ConfigurationError: A number is out of range or not an integer.

    >>> made = fictitious_people(people=1, neighbours=2, questions=2)
    >>> {side: len(rows) for side, rows in made.items()}
    {'forget': 2, 'neighbor': 4}
    >>> made["forget"][1]["name"], made["forget"][1]["question"]
    ('Zanven Vassrune', 'Where was Zanven Vassrune born?')
    """
    require_integer("people", people, 1, MAX_PEOPLE)
    require_integer("neighbours", neighbours, 2, MAX_PEOPLE)
    require_integer("questions", questions, 1, len(PEOPLE_TOPICS))
    require_integer("seed", seed, 0)
    world = World(seed)
    sides = {"forget": people, "neighbor": neighbours}
    return {
        side: [row for _ in range(number) for row in _person_rows(world, questions, seed)]
        for side, number in sides.items()
    }


def _person_rows(world: World, questions: int, seed: int) -> list[Row]:
    facts = world.author()
    for topic in PEOPLE_TOPICS:
        if topic.name not in facts:
            facts[topic.name] = topic.draw(Random(f"fictitious people {seed} {facts['name']} {topic.name}"))
    return [{"name": facts["name"], **row} for row in author_rows(facts, questions, seed, PEOPLE_TOPICS)]
