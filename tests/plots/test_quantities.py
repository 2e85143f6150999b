"""Names, directions and meanings of the reported numbers."""

from __future__ import annotations

import pytest

from unlearnkit.evaluators.classification import BETTER
from unlearnkit.evaluators.generation_definitions import BETTER as OF_GENERATION
from unlearnkit.evaluators.muse_definitions import DEFINITIONS as OF_MUSE
from unlearnkit.evaluators.muse_definitions import higher_is_better as better_on_muse
from unlearnkit.evaluators.preferences_definitions import DEFINITIONS as OF_PREFERENCES
from unlearnkit.evaluators.preferences_definitions import higher_is_better as better_of_preferences
from unlearnkit.evaluators.tofu_definitions import higher_is_better
from unlearnkit.plots.quantities import ARROWS, GENERATION, QUANTITIES, axis_label, quantity


@pytest.mark.parametrize("key", QUANTITIES)
def test_each_has_a_name_a_narrow_head_and_a_meaning(key: str) -> None:
    found = QUANTITIES[key]
    assert found.name
    assert found.meaning.endswith(".")
    assert max(map(len, found.brief)) <= 5  # an 80 column terminal holds the summary


def test_the_results_directions_go_before_the_defaults() -> None:
    results = {
        "higher_is_better": {
            "forget_truth_ratio": True,
            "forget_rouge": False,
            "retain_rouge": "near reference",
        }
    }
    found = [
        quantity(key, results).better
        for key in ("forget_truth_ratio", "forget_rouge", "retain_rouge", "utility")
    ]
    assert found == ["up", "down", "near", "up"]


def test_results_that_say_nothing_leave_the_defaults() -> None:
    assert quantity("utility", {"higher_is_better": None}) == quantity("utility", {}) == quantity("utility")


_OF_IMAGES_ALONE = set(OF_GENERATION) - set(GENERATION)


@pytest.mark.parametrize("key", sorted(set(QUANTITIES) - {"round", "seconds"} - _OF_IMAGES_ALONE))
def test_the_defaults_are_the_evaluator_s_directions(key: str) -> None:
    images = key in BETTER and key not in ("forget_loss", "retain_loss")  # losses have both
    texts = better_on_muse if key in OF_MUSE else higher_is_better
    texts = better_of_preferences if key in OF_PREFERENCES and key not in OF_MUSE else texts
    stated = {"higher_is_better": {key: BETTER[key] if images else texts(key)}}
    assert quantity(key, stated).better == quantity(key).better


@pytest.mark.parametrize("key", sorted(OF_GENERATION))
def test_where_images_are_generated_keys_have_meanings_and_directions_of_their_own(key: str) -> None:
    words = {True: "up", False: "down", "near reference": "near"}
    found = quantity(key, {"evaluation": "generation"})
    if key in QUANTITIES:
        assert found.better == words[OF_GENERATION[key]]
        assert found.meaning.endswith(".")
        assert max(map(len, found.brief)) <= 5
    assert quantity(key) == quantity(key, {"evaluation": "classification"})
    assert (found == quantity(key)) == (key not in GENERATION)


def test_an_unknown_key_has_a_name_and_no_direction() -> None:
    found = quantity("real_authors_rouge")
    assert (found.name, found.better) == ("real authors rouge", None)


@pytest.mark.parametrize("better", [*ARROWS, None])
def test_every_axis_label_says_what_is_better(better: str | None) -> None:
    words = {
        "up": "higher is better",
        "down": "lower is better",
        "near": "near the retrained reference",
        None: "loss",
    }
    assert words[better] in axis_label("loss", better)


def test_a_long_axis_label_breaks_before_the_remark() -> None:
    assert axis_label("forget loss a token of the answer (nats)", "up").endswith(
        "(nats)\n(higher is better →)"
    )
    assert axis_label("", "up") == "(higher is better →)"
