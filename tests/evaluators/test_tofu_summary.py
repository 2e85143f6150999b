"""Aggregates of a handful of rows, computed by hand."""

from __future__ import annotations

import math
from statistics import fmean, harmonic_mean
from typing import Any

import pytest
from scipy.stats import ks_2samp

from unlearnkit.evaluators.tofu_summary import non_finite, quality_tests, set_summary, summarise

E = math.exp


def rows(**changed: Any) -> dict[str, list[Any]]:
    return {
        "index": [0, 1],
        "rouge": [1.0, 0.5],
        "fact": [True, None],
        "tokens": [3, 5],
        "mean_nll": [1.0, 2.0],
        "paraphrase_mean_nll": [1.5, 2.5],
        "perturbed_mean_nll": [[2.0, 4.0], [2.0, 1.0]],
        **changed,
    }


def test_retain_numbers() -> None:
    found = set_summary("retain", rows())
    geometric = [E(1.5 - 3.0), E(2.5 - 1.5)]
    arithmetic = [E(1.5) * (E(-2) + E(-4)) / 2, E(2.5) * (E(-2) + E(-1)) / 2]
    assert found == pytest.approx(
        {
            "loss": (3 * 1.0 + 5 * 2.0) / 8,
            "rouge": 0.75,
            "fact": 1.0,
            "probability": (E(-1) + E(-2)) / 2,
            "truth_ratio": fmean(max(0.0, 1 - r) for r in geometric),
            "truth_ratio_arithmetic": fmean(max(0.0, 1 - r) for r in arithmetic),
        }
    )


def test_forget_truth_ratio_is_indifference() -> None:
    geometric = [E(-1.5), E(1.0)]
    assert set_summary("forget", rows())["truth_ratio"] == pytest.approx(
        fmean(min(r, 1 / r) for r in geometric)
    )


@pytest.mark.parametrize("name", ["real_authors", "world_facts"])
def test_probability_among_choices(name: str) -> None:
    shares = [E(-1) / (E(-1) + E(-2) + E(-4)), E(-2) / (E(-2) + E(-2) + E(-1))]
    assert set_summary(name, rows())["probability"] == pytest.approx(fmean(shares))
    some = rows(perturbed_mean_nll=[[2.0], []])
    assert set_summary(name, some)["probability"] is None


def test_rows_without_wrong_answers_are_left_out_of_the_truth_ratio() -> None:
    some = rows(perturbed_mean_nll=[[2.0, 4.0], []], paraphrase_mean_nll=[1.5, None])
    assert set_summary("retain", some)["truth_ratio"] == pytest.approx(1 - E(-1.5))
    none = rows(perturbed_mean_nll=[[], []], fact=[None, None])
    found = set_summary("retain", none)
    assert (found["truth_ratio"], found["fact"]) == (None, None)
    assert non_finite(some) == non_finite(none) == 0


def test_model_utility_is_the_harmonic_mean_of_the_nine() -> None:
    whole = {name: rows() for name in ("forget", "retain", "real_authors", "world_facts")}
    summary, parts = summarise(whole)
    nine = [
        summary[f"{name}_{key}"]
        for name in ("retain", "real_authors", "world_facts")
        for key in ("probability", "rouge", "truth_ratio")
    ]
    assert summary["model_utility"] == pytest.approx(harmonic_mean(nine))
    assert len(parts["utility_parts"]) == 9 and "capability_parts" not in parts
    assert summary["model_utility_arithmetic"] != summary["model_utility"]
    assert summary["verbmem"] == summary["forget_rouge"]
    assert summary["utility"] == summary["retain_rouge"]
    assert summary["paper_truth_ratio"] == summary["retain_truth_ratio"]


def test_model_utility_of_what_is_there_names_its_parts() -> None:
    summary, parts = summarise({"forget": rows(), "retain": rows()})
    names = parts["utility_parts"]
    assert names == ["retain_probability", "retain_rouge", "retain_truth_ratio"]
    assert summary["model_utility"] == pytest.approx(harmonic_mean([summary[part] for part in names]))
    summary, parts = summarise({"forget": rows()})
    assert (summary["model_utility"], summary["utility"], parts) == (None, None, {"utility_parts": []})


def test_memorisation_is_a_mean_over_rows_where_it_was_measured() -> None:
    found = set_summary("retain", rows(exact_memorisation=[1.0, 0.5], extraction_strength=[1.0, 0.0]))
    assert (found["exact_memorisation"], found["extraction_strength"]) == (0.75, 0.5)
    assert "extraction_strength" not in set_summary("retain", rows())


def test_capability_comes_with_the_texts() -> None:
    texts = {"token_entropy": [1.0, 0.5], "similarity": [0.4, 0.6], "entailed": [True, False]}
    summary, parts = summarise({"forget": rows(**texts), "retain": rows(**texts)})
    wanted = [summary[f"retain_{key}"] for key in ("probability", "rouge", "truth_ratio")] + [0.75, 0.5, 0.5]
    assert summary["model_capability"] == pytest.approx(harmonic_mean(wanted))
    assert len(parts["capability_parts"]) == 6


def test_failed_rows_count_with_the_worst_value() -> None:
    nan = math.nan
    found = rows(mean_nll=[nan, 2.0], perturbed_mean_nll=[[nan, 4.0], [2.0, 1.0]])
    summary, _ = summarise({"retain": found})
    assert summary["retain_probability"] == pytest.approx(E(-2) / 2)
    assert summary["retain_truth_ratio"] == 0.0
    assert summary["retain_loss"] is None
    assert summary["non_finite"] == 1
    # A written evaluation holds null in that place.
    again, _ = summarise({"retain": rows(mean_nll=[None, 2.0], perturbed_mean_nll=[[None, 4.0], [2.0, 1.0]])})
    assert again == summary


def test_quality_is_the_exact_test_on_r() -> None:
    mine = rows(paraphrase_mean_nll=[1.0, 2.0, 3.0, 0.5], perturbed_mean_nll=[[2.0, 4.0]] * 4)
    other = rows(paraphrase_mean_nll=[2.5, 3.5, 4.5, 0.7], perturbed_mean_nll=[[1.0, 1.5]] * 4)
    found = quality_tests(mine, other)
    wrong = {"geometric": (E(-3.0), E(-1.25)), "arithmetic": ((E(-2) + E(-4)) / 2, (E(-1) + E(-1.5)) / 2)}
    for mean, (first, second) in wrong.items():
        expected = ks_2samp(
            [first * E(loss) for loss in mine["paraphrase_mean_nll"]],
            [second * E(loss) for loss in other["paraphrase_mean_nll"]],
            method="exact",
        )
        assert found[mean]["p"] == pytest.approx(expected.pvalue)
        assert found[mean]["statistic"] == pytest.approx(expected.statistic)
        assert found[mean]["n"] == 4
        assert found[mean]["log10_floor"] == pytest.approx(math.log10(2 / math.comb(8, 4)))
