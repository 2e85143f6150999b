"""Profiles name only quantities that are known, and results find theirs."""

from __future__ import annotations

import pytest

from unlearnkit.evaluators.classification import BETTER, DEFINITIONS
from unlearnkit.plots import PROFILES, QUANTITIES, profile, tradeoff
from unlearnkit.plots.quantities import ARROWS
from unlearnkit.testing.results import made_up_results


@pytest.mark.parametrize("name", PROFILES)
def test_every_number_is_a_known_quantity(name):
    found = PROFILES[name]
    assert {*found.columns, *found.beside, *found.followed, found.forget, found.keep} <= set(QUANTITIES)
    assert set(found.where_known) <= set(found.columns)
    assert QUANTITIES[found.forget].better == "near" and QUANTITIES[found.keep].better == "up"


def test_the_evaluator_and_the_table_agree_on_what_is_better():
    words = {True: "up", False: "down", "near reference": "near"}
    for name in PROFILES["classification"].columns:
        if name != "seconds":
            assert QUANTITIES[name].better == words[BETTER[name]] and QUANTITIES[name].better in ARROWS
            assert name in DEFINITIONS


def test_results_without_a_name_are_tofus():
    assert profile(made_up_results()) == profile({"evaluation": "mine"}) == profile({"evaluation": "tofu"})
    assert profile({}).abbreviations == PROFILES["tofu"].abbreviations


def test_paper_002s_numbers_are_shown_where_they_were_evaluated():
    whole = PROFILES["tofu"]
    rows = [{"summary": dict.fromkeys(whole.where_known, 0.5)}, {"summary": {"forget_rouge": 0.5}}]
    assert profile({"rows": rows}).columns == whole.columns
    assert {"model_capability", "overall_targeted"} <= set(whole.columns) & set(whole.beside)
    assert set(profile({"rows": rows[1:]}).columns) == set(whole.columns) - set(whole.where_known)
    briefs = [QUANTITIES[key].brief for key in whole.columns]
    assert len(set(briefs)) == len(briefs)  # model utility and capability are both someone's MU


def test_a_column_of_forgotten_classes_is_shown_where_a_class_is_forgotten():
    whole = PROFILES["classification"]
    own = "forget_class_test_accuracy"
    rows = [{"summary": {"forget_accuracy": 0.0}}, {"summary": {own: None}}]
    assert profile({"evaluation": "classification", "rows": rows}) is whole and own in whole.columns
    without = profile({"evaluation": "classification", "rows": rows[:1]})
    assert without.columns == tuple(key for key in whole.columns if key != own)
    assert without.beside == whole.beside and own in without.beside  # shown where paths have it


def test_the_figure_takes_the_axes_of_its_benchmark():
    results = made_up_results(methods=1) | {"evaluation": "classification"}
    for row in results["rows"]:
        row["summary"] = {"forget_accuracy": 0.5, "test_accuracy": 0.9}
        row["path"] = [{"round": 10, "forget_accuracy": 0.5, "test_accuracy": 0.9}]
    axes = tradeoff(results)
    assert axes.get_xlabel().startswith("forget accuracy") and axes.get_ylabel().startswith("test accuracy")
