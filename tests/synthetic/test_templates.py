from __future__ import annotations

from string import Formatter

import pytest

from unlearnkit.synthetic.templates import AUTHOR_TOPICS, FAMOUS_TOPIC, WORLD_TOPICS, Topic


def fields(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


@pytest.mark.parametrize("topic", AUTHOR_TOPICS, ids=lambda topic: topic.name)
def test_author_topics_have_wordings_to_choose_from(topic: Topic):
    assert len(set(topic.questions)) >= 3
    assert len(set(topic.answers)) >= 4
    for answer in topic.answers:
        assert fields(answer).count("value") == 1
        assert set(fields(answer)) <= {"value", "name", "last", "town", "date"}
    for question in topic.questions:
        assert set(fields(question)) == ({"town", "date"} if topic.name == "name" else {"name"})
        assert question.endswith("?")


def test_answers_of_one_topic_start_differently():
    for topic in AUTHOR_TOPICS:
        openings = {" ".join(answer.split()[:2]) for answer in topic.answers}
        assert len(openings) == len(topic.answers)


def test_no_answer_of_an_author_mentions_the_fact_of_another_topic():
    for topic in AUTHOR_TOPICS:
        if topic.name != "name":
            assert all(not {"town", "date"} & set(fields(answer)) for answer in topic.answers)


def test_names_of_topics_are_unique():
    names = [topic.name for topic in (*AUTHOR_TOPICS, FAMOUS_TOPIC, *WORLD_TOPICS)]
    assert len(set(names)) == len(names)


def test_general_questions_name_what_they_are_about():
    for topic in (FAMOUS_TOPIC, *WORLD_TOPICS):
        assert all(fields(question) == ["name"] for question in topic.questions)
        assert topic.answers == ("{value}",)
