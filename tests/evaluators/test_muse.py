"""The MUSE evaluator on small trained models: numbers, references, comparability, bad input."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.evaluators.muse_stand_ins import diverged, muses_own, news, reader
from unlearnkit.datamodules import MUSE
from unlearnkit.errors import ConfigurationError, DataError, MismatchError
from unlearnkit.evaluators import MUSEEvaluator, read, write
from unlearnkit.metrics.functional import muse_privleak
from unlearnkit.models import CausalLM


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    return MUSEEvaluator().evaluate(reader(), news())


@pytest.fixture(scope="module")
def retrained() -> dict[str, Any]:
    return MUSEEvaluator().evaluate(reader(forget=False), news())


def test_numbers_are_those_of_muses_own_code(evaluation: dict[str, Any], retrained: dict[str, Any]) -> None:
    expected, other = muses_own(reader(), news()), muses_own(reader(forget=False), news())
    summary = MUSEEvaluator().with_reference(evaluation, retrained)["summary"]
    for name in ("forget_verbmem", "forget_knowmem", "retain_knowmem"):
        assert summary[name] == pytest.approx(expected[name])
        assert retrained["summary"][name] == pytest.approx(other[name])
    assert 1 - summary["auc_min_k"] == pytest.approx(expected["area"])
    assert summary["privleak"] == pytest.approx((expected["area"] - other["area"]) / other["area"] * 100)


def test_summary_tells_the_reader_from_the_one_that_never_read(
    evaluation: dict[str, Any], retrained: dict[str, Any]
) -> None:
    mine, other = evaluation["summary"], retrained["summary"]
    assert mine["forget_verbmem"] > 0.9 > 0.5 > other["forget_verbmem"]
    assert mine["auc_min_k"] > other["auc_min_k"]
    assert mine["forget_loss"] < other["forget_loss"]
    assert MUSEEvaluator().with_reference(evaluation, retrained)["summary"]["privleak"] < -50
    assert MUSEEvaluator().with_reference(retrained, retrained)["summary"]["privleak"] == 0


def test_variants_go_by_their_own_names(evaluation: dict[str, Any]) -> None:
    summary = evaluation["summary"]
    rows = evaluation["per_sample"]["verbmem"]
    n = len(rows["truth"])
    assert summary["verbmem"] == pytest.approx(sum(rows["rouge_l_recall"]) / n)
    assert summary["forget_verbmem_ou"] == pytest.approx(sum(rows["rouge_l_f_ou"]) / n)
    answers = evaluation["per_sample"]["retain_knowmem"]["rouge_l_recall"]
    assert summary["utility"] == pytest.approx(sum(answers) / len(answers))
    assert summary["privleak"] is None, "no reference"
    area = 1 - summary["auc_min_k_ou"]
    assert summary["privleak_ou"] == pytest.approx(muse_privleak(area, 0.5))
    assert summary["privleak_published"] is None, "generated news are not MUSE's corpus"
    assert evaluation["higher_is_better"].keys() == summary.keys()


def test_published_area_is_that_of_the_corpus(evaluation: dict[str, Any]) -> None:
    facts = evaluation["comparability"] | {"generated": False, "corpus": "Books"}
    found = MUSEEvaluator().with_reference(evaluation | {"comparability": facts}, None)["summary"]
    assert found["privleak_published"] == pytest.approx(muse_privleak(1 - found["auc_min_k"], 0.5393))


def test_the_result_is_plain_and_reads_back(evaluation: dict[str, Any], tmp_path: Any) -> None:
    write(evaluation, tmp_path / "evaluation.json")
    assert read(tmp_path / "evaluation.json") == evaluation
    json.dumps(evaluation, allow_nan=False)
    facts = evaluation["comparability"]
    assert facts["split_hash"] == news().split.hash and facts["request"] == "raw"
    assert facts["n"]["verbmem"] == 3 and facts["n"]["privleak_holdout"] == 6 and facts["cut_texts"] == 0


def test_fewer_rows_are_the_first_and_say_so(evaluation: dict[str, Any]) -> None:
    some = MUSEEvaluator(rows=2).evaluate(reader(), news())
    assert set(some["comparability"]["n"].values()) == {2}
    for name, rows in some["per_sample"].items():
        for key, values in rows.items():
            whole = evaluation["per_sample"][name][key][:2]
            assert values == (whole if isinstance(values[0], str) else pytest.approx(whole, rel=1e-4))


def test_examples_and_space_change_the_prompts(evaluation: dict[str, Any]) -> None:
    hashes = {evaluation["comparability"]["prompts_hash"]}
    for chosen in ({"examples": 0}, {"examples": 1}, {"space": True}):
        hashes.add(
            MUSEEvaluator(rows=None, **chosen).evaluate(reader(), news())["comparability"]["prompts_hash"]
        )
    assert len(hashes) == 4


def test_a_model_that_diverged_is_measured_not_refused() -> None:
    summary = MUSEEvaluator(rows=3).evaluate(diverged(), news())["summary"]
    assert summary["auc_min_k"] is None and summary["privleak"] is None and summary["forget_loss"] is None
    assert summary["non_finite"] == 9 and summary["forget_verbmem"] < 0.3


def test_a_reference_of_another_kind_is_refused(
    evaluation: dict[str, Any], retrained: dict[str, Any]
) -> None:
    other = CausalLM(hidden_size=32, layers=1, heads=4, max_length=384)
    other.materialize(news().tokenizer)
    with pytest.raises(MismatchError, match="the same number of parameters"):
        MUSEEvaluator().evaluate(other, news(), retrained)
    with pytest.raises(MismatchError, match=r"the same n\['verbmem'\] as this evaluation, 3. Found 1"):
        MUSEEvaluator().with_reference(evaluation, MUSEEvaluator(rows=1).evaluate(reader(), news()))
    data = MUSE(
        articles=30, questions=2, vocab_size=500, cut="documents", max_length=256, seed=3, forget="sust_2"
    )
    data.setup()
    with pytest.raises(MismatchError, match="the same split_hash"):
        MUSEEvaluator().evaluate(reader(), data, evaluation)


def test_a_context_without_room_is_refused() -> None:
    narrow = CausalLM(hidden_size=16, layers=1, heads=2, max_length=160)
    narrow.materialize(news().tokenizer)
    with pytest.raises(
        DataError, match=r"`context_length` must hold a prompt and 128 new tokens. Found \d+ \+ 128 tokens"
    ):
        MUSEEvaluator().evaluate(narrow, news())


def test_data_of_another_benchmark_are_refused() -> None:
    data = SimpleNamespace(evaluation_sets={"forget": []}, tokenizer=news().tokenizer)
    with pytest.raises(DataError, match="must hold rows of 'verbmem'. Found no such set; there are forget"):
        MUSEEvaluator().evaluate(reader(), data)


@pytest.mark.parametrize(("name", "value"), [("rows", 0), ("examples", -1), ("batch_tokens", 0)])
def test_numbers_out_of_range(name: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` must be at least"):
        MUSEEvaluator(**{name: value})
