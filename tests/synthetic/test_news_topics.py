from __future__ import annotations

from random import Random

import pytest

from unlearnkit.synthetic.news_topics import KINDS, TOPICS


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_sentence_tells_the_value_and_every_question_names_the_subject(topic):
    value = topic.draw(Random(0))
    assert value == topic.draw(Random(0)) and value
    assert len(topic.sentences) >= 3 and len(topic.questions) >= 2
    assert all(value in sentence.format(value=value, subject="Tin Bridge") for sentence in topic.sentences)
    assert all("Tin Bridge" in question.format(subject="Tin Bridge") for question in topic.questions)
    assert all(value not in question.format(subject="Tin Bridge") for question in topic.questions)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.place)
def test_ledes_name_the_subject_and_the_day(kind):
    for lede in kind.ledes:
        told = lede.format(subject=f"Tin {kind.place}", day="Friday, 1 May")
        assert f"Tin {kind.place}" in told and "Friday, 1 May" in told and told.endswith(".")
