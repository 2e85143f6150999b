"""The TOFU evaluator on a small trained model: numbers, comparability, bad input."""

from __future__ import annotations

import copy
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from tests.evaluators.stand_ins import Model, diverged, naive, small_data, trained
from unlearnkit.errors import ConfigurationError, DataError, MismatchError, UnknownNameError
from unlearnkit.evaluators import TOFUEvaluator, read, write
from unlearnkit.evaluators.tofu_definitions import SETS


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    return TOFUEvaluator().evaluate(trained(), small_data())


def with_sets(**sets: Any) -> Any:
    data = small_data()
    return SimpleNamespace(
        evaluation_sets=sets, encode=data.encode, tokenizer=data.tokenizer, split=data.split, seed=data.seed
    )


def test_samples_equal_the_naive_pass(evaluation: dict[str, Any]) -> None:
    limit = evaluation["comparability"]["max_new_tokens"]
    for name, rows in small_data().evaluation_sets.items():
        expected = naive(trained(), rows[:6], limit)
        columns = evaluation["per_sample"][name]
        assert columns["index"] == [row.index for row in rows]
        assert columns["generation"][:6] == [row["generation"] for row in expected]
        assert columns["rouge"][:6] == pytest.approx([row["rouge"] for row in expected])
        assert columns["mean_nll"][:6] == pytest.approx(
            [row["mean_nll"] for row in expected], rel=2e-5, abs=2e-6
        )


def test_summary_says_what_the_model_knows(evaluation: dict[str, Any]) -> None:
    summary = evaluation["summary"]
    # Trained on every second row.
    assert 0.5 <= summary["forget_fact"] < 1
    rouge = evaluation["per_sample"]["retain"]["rouge"]
    assert rouge[::2] == [1.0] * len(rouge[::2]) and max(rouge[1::2]) < 1
    assert summary["model_utility"] > 0
    assert summary["non_finite"] == 0
    assert summary["verbmem"] == summary["forget_rouge"]
    assert evaluation["higher_is_better"].keys() == summary.keys()
    assert summary["retain_rouge"] == pytest.approx(sum(rouge) / len(rouge))


def test_the_result_is_plain_and_reads_back(evaluation: dict[str, Any], tmp_path: Any) -> None:
    write(evaluation, tmp_path / "evaluation.json")
    assert read(tmp_path / "evaluation.json") == evaluation
    json.dumps(evaluation, allow_nan=False)


def test_comparability(evaluation: dict[str, Any]) -> None:
    found, data = evaluation["comparability"], small_data()
    assert found["split_hash"] == data.split.hash
    assert found["n"] == {name: len(data.evaluation_sets[name]) for name in SETS}
    assert len(found["utility_parts"]) == 9
    longest = max(
        len(data.encode(row.question, row.answer)[1])
        for rows in data.evaluation_sets.values()
        for row in rows
    )
    assert found["max_new_tokens"] == math.ceil(1.25 * longest)
    assert evaluation["model"]["network"] == "LlamaForCausalLM"
    assert evaluation["run"]["seed"] == 3


def test_fewer_rows_are_the_first_and_say_so(evaluation: dict[str, Any]) -> None:
    some = TOFUEvaluator(rows=3, sets=["forget", "world_facts"]).evaluate(trained(), small_data())
    assert some["comparability"]["n"] == {"forget": 3, "world_facts": 3}
    assert some["comparability"]["rows"] == "the first 3 of each set"
    assert some["comparability"]["max_new_tokens"] == evaluation["comparability"]["max_new_tokens"]
    for name in ("forget", "world_facts"):
        for key, values in some["per_sample"][name].items():
            whole = evaluation["per_sample"][name][key][:3]
            assert values == (pytest.approx(whole, rel=1e-5) if key == "mean_nll" else values)
        assert some["per_sample"][name]["generation"] == evaluation["per_sample"][name]["generation"][:3]


def test_max_new_tokens_is_taken_as_given() -> None:
    short = TOFUEvaluator(max_new_tokens=2, rows=4).evaluate(trained(), small_data())
    assert short["comparability"]["max_new_tokens"] == 2
    tokenizer = small_data().tokenizer
    for text in short["per_sample"]["retain"]["generation"]:
        assert len(tokenizer(" " + text)["input_ids"]) <= 3


def test_without_truth_ratio_the_rest_is_the_same(evaluation: dict[str, Any]) -> None:
    quick = TOFUEvaluator(truth_ratio=False).evaluate(trained(), small_data(), reference=None)
    for name in ("forget_rouge", "retain_fact", "retain_probability", "forget_loss", "utility"):
        assert quick["summary"][name] == pytest.approx(evaluation["summary"][name], rel=1e-5)
    missing = {name for name, value in quick["summary"].items() if value is None}
    assert {"forget_truth_ratio", "real_authors_probability", "paper_truth_ratio"} <= missing
    assert "retain_truth_ratio" not in quick["comparability"]["utility_parts"]


# -------------------------------------------------------------------------------- forget quality


def test_forget_quality_against_itself_is_one(evaluation: dict[str, Any]) -> None:
    again = TOFUEvaluator().evaluate(trained(), small_data(), reference=evaluation)
    assert (again["summary"]["forget_quality"], again["summary"]["forget_quality_log10"]) == (1.0, 0.0)
    test = again["forget_quality_tests"]["geometric"]
    assert (test["n"], test["statistic"]) == (len(small_data().evaluation_sets["forget"]), 0.0)
    assert evaluation["summary"]["forget_quality"] is None


def test_forget_quality_of_another_model(evaluation: dict[str, Any]) -> None:
    fresh = Model(hidden_size=48, layers=1, heads=4, max_length=96)
    fresh.materialize(small_data().tokenizer)
    found = TOFUEvaluator(sets=["forget"]).evaluate(fresh, small_data(), reference=evaluation)
    assert (
        found["forget_quality_tests"]["geometric"]["log10_floor"]
        <= found["summary"]["forget_quality_log10"]
        < 0
    )
    assert found["summary"]["forget_quality_arithmetic"] < 1


def test_a_reference_can_be_given_later(evaluation: dict[str, Any], tmp_path: Any) -> None:
    write(evaluation, tmp_path / "evaluation.json")
    later = TOFUEvaluator().with_reference(read(tmp_path / "evaluation.json"), evaluation)
    assert later == TOFUEvaluator().evaluate(trained(), small_data(), reference=evaluation)
    assert evaluation["summary"]["forget_quality"] is None  # the one given is left as it was


@pytest.mark.parametrize("key", ["split_hash", "tokenizer_hash"])
def test_another_reference_is_refused(evaluation: dict[str, Any], key: str) -> None:
    other = copy.deepcopy(evaluation)
    other["comparability"][key] = "0123"
    with pytest.raises(MismatchError, match=f"`reference` must have the same {key}.*Found '0123'"):
        TOFUEvaluator(sets=["forget"]).evaluate(trained(), small_data(), reference=other)


def test_a_reference_of_another_architecture_is_refused(evaluation: dict[str, Any]) -> None:
    smaller = Model(hidden_size=16, layers=1, heads=2, max_length=96)
    smaller.materialize(small_data().tokenizer)
    with pytest.raises(MismatchError, match="same number of parameters as this one"):
        TOFUEvaluator(sets=["forget"]).evaluate(smaller, small_data(), reference=evaluation)


def test_another_n_is_refused(evaluation: dict[str, Any]) -> None:
    with pytest.raises(MismatchError, match=r"same n\['forget'\] as this evaluation, 3. Found 8"):
        TOFUEvaluator(rows=3, sets=["forget"]).evaluate(trained(), small_data(), reference=evaluation)


def test_a_reference_without_truth_ratios_is_refused() -> None:
    quick = TOFUEvaluator(truth_ratio=False, sets=["forget"]).evaluate(trained(), small_data())
    with pytest.raises(MismatchError, match=r"same n_truth_ratio\['forget'\]"):
        TOFUEvaluator(sets=["forget"]).evaluate(trained(), small_data(), reference=quick)


# ------------------------------------------------------------------------------ diverged, and bad


def test_a_diverged_model_is_evaluated(evaluation: dict[str, Any]) -> None:
    found = TOFUEvaluator().evaluate(diverged(), small_data(), reference=evaluation)
    summary = found["summary"]
    assert summary["non_finite"] == sum(found["comparability"]["n"].values())
    assert (summary["retain_probability"], summary["model_utility"], summary["forget_truth_ratio"]) == (
        0.0,
        0.0,
        0.0,
    )
    assert summary["forget_loss"] is None
    assert summary["forget_quality_log10"] == pytest.approx(
        found["forget_quality_tests"]["geometric"]["log10_floor"]
    )
    assert set(found["per_sample"]["forget"]["mean_nll"]) == {None}
    # As a reference it can be read again, null and all.
    assert (
        TOFUEvaluator().evaluate(diverged(), small_data(), reference=found)["summary"]["forget_quality"]
        == 1.0
    )


@pytest.mark.parametrize("name", ["max_new_tokens", "batch_tokens", "rows"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` must be at least 1. Found 0"):
        TOFUEvaluator(**{name: 0})


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"`sets` must be one of: .*Did you mean 'forget'"):
        TOFUEvaluator(sets=["forgot"])


def test_a_missing_or_empty_set_is_refused() -> None:
    rows = small_data().evaluation_sets["forget"]
    with pytest.raises(DataError, match=r"rows of 'retain'. Found no such set; there are forget"):
        TOFUEvaluator(sets=["forget", "retain"]).evaluate(trained(), with_sets(forget=rows))
    with pytest.raises(DataError, match=r"rows of 'retain'. Found none; there are forget, retain"):
        TOFUEvaluator().evaluate(trained(), with_sets(forget=rows, retain=[]))


def test_sets_that_are_there_are_enough() -> None:
    found = TOFUEvaluator().evaluate(trained(), with_sets(retain=small_data().evaluation_sets["retain"]))
    assert list(found["comparability"]["n"]) == ["retain"]
    assert found["summary"]["verbmem"] is None and found["summary"]["forget_quality"] is None
