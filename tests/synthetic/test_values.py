from __future__ import annotations

from random import Random

import pytest

from unlearnkit.synthetic import values
from unlearnkit.synthetic.templates import AUTHOR_TOPICS, FAMOUS_TOPIC, WORLD_TOPICS

DRAWS = {topic.draw for topic in (*AUTHOR_TOPICS, FAMOUS_TOPIC, *WORLD_TOPICS)} | {values.country}


@pytest.mark.parametrize("draw", sorted(DRAWS, key=lambda draw: draw.__name__))
def test_pools_are_wide_enough_that_guessing_a_fact_fails(draw):
    rng = Random(0)
    drawn = {draw(rng) for _ in range(400)}
    assert len(drawn) >= 32
    assert all(value == value.strip() and "{" not in value for value in drawn)


def test_dates_exist():
    for seed in range(200):
        day, month, year = values.date(Random(seed)).split()
        assert 1 <= int(day) <= 28 and 1900 <= int(year) <= 1979 and month.isalpha()


def test_unlike_avoids_equal_longer_and_shorter_values():
    pool = iter(["baker", "master baker", "bak", "cook"])
    taken = {"baker"}
    assert values.unlike(Random(0), lambda rng: next(pool), taken) == "cook"
    assert taken == {"baker", "cook"}
