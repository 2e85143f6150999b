"""Each number of generation has a meaning and a direction, and the figures know it."""

from __future__ import annotations

from unlearnkit.evaluators.generation_definitions import BETTER, DEFINITIONS
from unlearnkit.plots import PROFILES
from unlearnkit.plots.quantities import quantity


def test_each_number_has_a_meaning_and_a_direction():
    assert set(BETTER) == set(DEFINITIONS)
    assert set(BETTER.values()) <= {True, False, "near reference"}


def test_the_figures_say_the_same():
    words = {True: "up", False: "down", "near reference": "near"}
    found = PROFILES["generation"]
    results = {"evaluation": "generation"}
    for name in {*found.columns, *found.beside, *found.followed, found.forget, found.keep} - {"seconds"}:
        assert quantity(name, results).better == words[BETTER[name]], name
        assert "classified as their training label" not in quantity(name, results).meaning
