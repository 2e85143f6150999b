"""The twenty topics: different questions, each with answers that hold the fact."""

from __future__ import annotations

from random import Random

import pytest

from unlearnkit.synthetic.people_topics import PEOPLE_TOPICS

WORDS = {"name": "Ana Ash", "last": "Ash", "town": "Tarvwick", "date": "4 May 1931"}


def test_there_are_twenty_as_in_paper_002():
    assert len({topic.name for topic in PEOPLE_TOPICS}) == len(PEOPLE_TOPICS) == 20
    questions = [question for topic in PEOPLE_TOPICS for question in topic.questions]
    assert len(set(questions)) == len(questions)


@pytest.mark.parametrize("topic", PEOPLE_TOPICS, ids=lambda topic: topic.name)
def test_a_topic_can_be_put_into_words(topic):
    value = topic.draw(Random(0))
    assert len(topic.questions) >= 2 and len(set(topic.answers)) == len(topic.answers) >= 3
    for answer in topic.answers:
        text = answer.format(**WORDS, value=value)
        assert value in text and "{" not in text
    assert all("{" not in question.format(**WORDS) for question in topic.questions)
