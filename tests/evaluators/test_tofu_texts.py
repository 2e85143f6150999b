"""Closer-look's numbers on generations, and paper 002's aggregates of them."""

from __future__ import annotations

import json
from statistics import fmean, harmonic_mean
from types import SimpleNamespace
from typing import Any

import pytest

from tests.evaluators.stand_ins import small_data, trained
from unlearnkit.datamodules.alternatives import refusals
from unlearnkit.errors import UnlearnKitWarning
from unlearnkit.evaluators import TOFUEvaluator
from unlearnkit.evaluators.tofu_definitions import DEFINITIONS
from unlearnkit.evaluators.tofu_texts import set_texts, text_columns, text_summary
from unlearnkit.metrics.encoders import LexicalJudge, TrigramSimilarity
from unlearnkit.metrics.functional import (
    ASPECTS,
    CAPABILITY_PARTS,
    lexical_entailment,
    rouge_l_recall,
    token_entropy,
    trigram_cosine,
)

REFUSALS = ["I don't know.", "I'm not sure about that.", "That is beyond what I know."]


def with_refusals() -> Any:
    data = small_data()
    names = ("evaluation_sets", "encode", "tokenizer", "split", "seed")
    return SimpleNamespace(refusal_texts=lambda: REFUSALS, **{name: getattr(data, name) for name in names})


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    return TOFUEvaluator(closer_look=True).evaluate(trained(), with_refusals())


@pytest.mark.parametrize("name", ["forget", "retain", "world_facts"])
def test_columns_equal_naive_ones(evaluation: dict[str, Any], name: str) -> None:
    rows, tokenizer = evaluation["per_sample"][name], small_data().tokenizer
    for place, (said, truth) in enumerate(zip(rows["generation"], rows["answer"], strict=True)):
        assert rows["token_entropy"][place] == token_entropy(tokenizer.tokenize(said))
        assert rows["similarity"][place] == trigram_cosine(said, truth)
        pair = (said, truth) if name == "forget" else (truth, said)
        wanted = rouge_l_recall(said, truth) >= 0.1 and lexical_entailment(*pair)
        assert rows["entailed"][place] is wanted
    assert evaluation["summary"][f"{name}_entailment"] == fmean(rows["entailed"])
    assert 0 < evaluation["summary"][f"{name}_entailment"] < 1


def test_aggregates(evaluation: dict[str, Any]) -> None:
    summary = evaluation["summary"]
    parts = [summary[name] for name in CAPABILITY_PARTS]
    assert summary["model_capability"] == pytest.approx(harmonic_mean(parts))
    assert evaluation["comparability"]["capability_parts"] == list(CAPABILITY_PARTS)
    said = {aspect: summary[f"forget_{aspect}"] for aspect in ASPECTS if aspect != "token_entropy"}
    said["truth_ratio"] = 1 - said["truth_ratio"]
    assert summary["forget_efficacy"] == pytest.approx(1 - fmean(said.values()))
    targeted = [summary["forget_token_entropy"], summary["forget_refusal_entailment"]]
    assert summary["targeted_forget_efficacy"] == pytest.approx(harmonic_mean(targeted))
    assert summary["overall"] == pytest.approx((summary["forget_efficacy"] + summary["model_capability"]) / 2)
    assert summary["overall_targeted"] <= summary["overall"]
    json.dumps(evaluation, allow_nan=False)


def test_the_result_says_what_compared(evaluation: dict[str, Any]) -> None:
    assert evaluation["comparability"]["similarity"]["used"] == "character trigrams"
    assert evaluation["comparability"]["entailment"]["used"] == "lexical proxy"
    asked = "a-network/that-is-nowhere"
    with pytest.warns(UnlearnKitWarning, match="`similarity` names 'a-network/that-is-nowhere'"):
        found = TOFUEvaluator(sets=["forget"], rows=2, closer_look=True, similarity=asked).evaluate(
            trained(), small_data()
        )
    named = found["comparability"]["similarity"]
    assert (named["asked"], named["used"]) == (asked, "character trigrams")
    assert found["per_sample"]["forget"]["similarity"] == evaluation["per_sample"]["forget"]["similarity"][:2]


def test_without_it_nothing_is_added() -> None:
    found = TOFUEvaluator(sets=["forget"], rows=2).evaluate(trained(), with_refusals())
    assert "model_capability" not in found["summary"] and "similarity" not in found["comparability"]
    assert "token_entropy" not in found["per_sample"]["forget"]


def columns(generation: str, answer: str = "Lagos", **arguments: Any) -> dict[str, list[Any]]:
    return text_columns(
        arguments.pop("name", "forget"),
        {"index": [4], "generation": [generation], "answer": [answer]},
        tokenize=str.split,
        similarity=TrigramSimilarity(),
        judge=arguments.pop("judge", LexicalJudge()),
        generation_first=arguments.pop("generation_first", True),
        **arguments,
    )


def test_refusals_are_drawn_by_row_and_entailed_by_refusing() -> None:
    drawn = columns("", refusals=REFUSALS)["refusal"][0]
    assert drawn in REFUSALS
    assert columns(drawn, refusals=REFUSALS)["refusal_entailed"] == [True]
    assert columns("Lagos", refusals=REFUSALS)["refusal_entailed"] == [False]
    assert "refusal" not in columns(drawn, refusals=REFUSALS, name="retain")
    assert "refusal" not in columns(drawn)


def test_a_judge_by_wording_takes_any_refusal_for_one() -> None:
    """Two refusals share few words: against the one that was drawn, hardly a model would be found to refuse."""
    packaged = refusals()
    for said in packaged[:5]:
        found = columns(said, refusals=packaged)
        assert (found["refusal"], found["refusal_entailed"]) == ([said], [True])
    asked: list[tuple[str, str]] = []

    class Meaning:
        name, by_wording = "meaning", False

        def __call__(self, pairs: Any) -> list[bool]:
            asked.extend(pairs)
            return [True] * len(pairs)

    drawn = columns("", refusals=packaged)["refusal"][0]
    said = next(text for text in packaged if text != drawn and rouge_l_recall(text, drawn) >= 0.1)
    found = columns(said, refusals=packaged, judge=Meaning())
    assert (found["refusal"], found["refusal_entailed"]) == ([drawn], [True])
    assert (said, drawn) in asked


def test_how_many_foreign_refusals_the_proxy_misses_is_in_the_definitions(test_data: Any) -> None:
    foreign, packaged = refusals(str(test_data / "TOFU" / "idontknow.txt")), refusals()
    known = sum(columns(said, refusals=packaged)["refusal_entailed"][0] for said in foreign)
    for name in ("refusal_entailment", "targeted_forget_efficacy"):
        assert f"it knows {known} of TOFU's {len(foreign)} for refusals" in DEFINITIONS[name]


@pytest.mark.parametrize(("benchmark", "entailed"), [("tofu", [True, False]), ("people", [True, True])])
def test_which_text_is_to_entail_the_other(benchmark: str, entailed: list[bool]) -> None:
    """Closer-look asks of real people on all sets whether the generation entails, on TOFU on the forget set."""
    rows = {"index": [4], "generation": ["She lives in Lagos by the sea."], "answer": ["Lagos"]}
    per_sample = {name: dict(rows) for name in ("forget", "retain")}
    data = SimpleNamespace(tokenizer=SimpleNamespace(tokenize=str.split), benchmark=benchmark)
    TOFUEvaluator(closer_look=True)._read_texts(trained(), data, per_sample, rank=0, world=1)
    assert [per_sample[name]["entailed"] for name in ("forget", "retain")] == [[found] for found in entailed]


def test_the_share_of_entailed_rows() -> None:
    long = "She lives in Lagos by the sea."
    assert columns(long)["entailed"] == [True]
    assert columns(long, generation_first=False)["entailed"] == [False]
    assert set_texts(columns(long))["entailment"] == 1.0


def test_refusals_are_the_data_modules() -> None:
    found = TOFUEvaluator(sets=["forget"], rows=2, closer_look=True).evaluate(trained(), small_data())
    assert set(found["per_sample"]["forget"]["refusal"]) <= set(small_data().refusal_texts())
    assert found["summary"]["targeted_forget_efficacy"] is not None


def test_what_is_missing_is_none() -> None:
    whole = dict.fromkeys(CAPABILITY_PARTS[:6], 0.5)
    found, parts = text_summary(whole)
    assert (found["model_capability"], parts) == (pytest.approx(0.5), list(CAPABILITY_PARTS[:6]))
    assert (found["forget_efficacy"], found["overall"]) == (None, None)
    # A set without its truth ratio would be another metric.
    found, parts = text_summary({**whole, "retain_truth_ratio": None})
    assert (found["model_capability"], parts) == (None, [])
    assert text_summary({"forget_rouge": 0.5})[0]["model_capability"] is None
