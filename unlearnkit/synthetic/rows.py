"""Facts put into words: the rows of the configurations, with paraphrases and wrong answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from unlearnkit.synthetic.templates import AUTHOR_TOPICS, FAMOUS_TOPIC, WORLD_TOPICS, Topic
from unlearnkit.synthetic.values import unlike
from unlearnkit.synthetic.world import World

Row = dict[str, Any]
"""One line of a configuration, with the columns of the public data set and ``value``."""


def author_rows(
    facts: dict[str, str], questions: int, seed: int, topics: Sequence[Topic] = AUTHOR_TOPICS
) -> Iterator[Row]:
    """Ask about one author, with a paraphrase and five wrong answers in its wording.

    Args:
        facts: Values by topic.
        questions: How many of the topics to ask about, in their order.
        seed: Which world; it chooses the wordings and the wrong answers.
        topics: What can be asked about.
    """
    words = {**facts, "last": facts["name"].split()[-1]}
    for topic in topics[:questions]:
        # A generator for each row, so that asking more questions leaves the earlier rows as they are.
        rng = Random(f"fictitious authors {seed} {facts['name']} {topic.name}")
        value = facts[topic.name]
        question, paraphrased_question = rng.sample(topic.questions, 2)
        answer, paraphrase = rng.sample(topic.answers, 2)
        yield {
            "question": question.format(**words),
            "answer": answer.format(**words, value=value),
            "paraphrased_answer": paraphrase.format(**words, value=value),
            "perturbed_answer": [
                paraphrase.format(**words, value=wrong) for wrong in _wrong_values(rng, topic, value, 5)
            ],
            "paraphrased_question": paraphrased_question.format(**words),
            "value": value,
        }


def famous_rows(world: World, count: int) -> Iterator[Row]:
    """Ask who wrote the classics of the world; the answers are names."""
    for _ in range(count):
        title = world.title()
        yield _short_row(world.rng, FAMOUS_TOPIC, title, world.person())


def world_rows(world: World, count: int) -> Iterator[Row]:
    """Ask for the capital, the river and so on of one country after the other."""
    country = ""
    for number in range(count):
        topic = WORLD_TOPICS[number % len(WORLD_TOPICS)]
        if topic is WORLD_TOPICS[0]:
            country = world.country()
        yield _short_row(world.rng, topic, country, topic.draw(world.rng))


def _short_row(rng: Random, topic: Topic, name: str, value: str) -> Row:
    return {
        "question": rng.choice(topic.questions).format(name=name),
        "answer": value,
        "perturbed_answer": _wrong_values(rng, topic, value, 3),
        "value": value,
    }


def _wrong_values(rng: Random, topic: Topic, value: str, count: int) -> list[str]:
    taken = {value}
    return [unlike(rng, topic.draw, taken) for _ in range(count)]
