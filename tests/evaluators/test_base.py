"""Files of evaluations, and what may be compared with what."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.evaluators.stand_ins import small_data, trained
from unlearnkit.artifacts import atomic_write_json
from unlearnkit.errors import ArtifactError, MismatchError
from unlearnkit.evaluators import TOFUEvaluator
from unlearnkit.evaluators.base import (
    describe_model,
    describe_run,
    read,
    require_comparable,
    require_same_model,
    tokenizer_hash,
    versions,
    write,
)

EVALUATION: dict[str, Any] = {
    "benchmark": "tofu",
    "comparability": {
        "format": 1,
        "split_hash": "aaaa",
        "tokenizer_hash": "tttt",
        "n": {"forget": 3},
        "n_truth_ratio": {"forget": 3},
    },
    "summary": {"forget_rouge": 0.5, "forget_quality": None},
    "per_sample": {"forget": {"index": [4, 5, 6], "mean_nll": [0.1, None, 0.3]}},
}


def changed(key: str, value: object) -> dict[str, Any]:
    other = copy.deepcopy(EVALUATION)
    other["comparability"][key] = value
    return other


def test_a_written_evaluation_reads_back(tmp_path: Any) -> None:
    write(EVALUATION, tmp_path / "run" / "evaluation.json")
    assert read(tmp_path / "run" / "evaluation.json") == EVALUATION


def test_other_files_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "other.json"
    with pytest.raises(ArtifactError, match="must be a file that a run wrote"):
        read(path)
    path.write_text('{"summary": {"forget')
    with pytest.raises(ArtifactError, match="half-written"):
        read(path)
    atomic_write_json(path, {"rows": []})
    with pytest.raises(ArtifactError, match="must be an evaluation that `write` wrote"):
        read(path)
    write(changed("format", 0), path)
    with pytest.raises(ArtifactError, match=r"format 1. Found format 0"):
        read(path)


def test_the_same_is_comparable() -> None:
    require_comparable(EVALUATION, copy.deepcopy(EVALUATION), sets=("forget",))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (changed("split_hash", "bbbb"), "same split_hash as this evaluation, 'aaaa'. Found 'bbbb'"),
        (changed("tokenizer_hash", "uuuu"), "same tokenizer_hash"),
        (changed("format", 2), "same format as this evaluation, 1. Found 2"),
        (changed("n", {"forget": 2}), "same n.*'forget'.* as this evaluation, 3. Found 2"),
        (changed("n", {}), "Found None"),
        (changed("n_truth_ratio", {"forget": 0}), "same n_truth_ratio"),
        (EVALUATION | {"benchmark": "muse"}, "same benchmark as this evaluation, 'tofu'. Found 'muse'"),
        (EVALUATION | {"per_sample": {"forget": {"index": [4, 5, 7]}}}, "the same forget rows"),
        (changed("protocol", {"steps": 10}), "same protocol.'steps'.* as this evaluation, None. Found 10"),
        ({"summary": {}}, "must be the evaluation of the retrained model"),
        ("retrained.json", "must be the evaluation of the retrained model. Found something else .str"),
    ],
)
def test_anything_else_is_refused(other: Any, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        require_comparable(EVALUATION, other, sets=("forget",))


def test_hashes_of_rows_count_where_both_have_them() -> None:
    mine = changed("row_hashes", {"forget": "aaaa"})
    require_comparable(mine, copy.deepcopy(mine), sets=("forget",))
    require_comparable(mine, EVALUATION, sets=("forget",))
    with pytest.raises(MismatchError, match="the same forget rows"):
        require_comparable(mine, changed("row_hashes", {"forget": "bbbb"}), sets=("forget",))
    other = changed("row_hashes", {"forget": "bbbb"}) | {"per_sample": {}}
    with pytest.raises(MismatchError, match="the same forget rows"):
        require_comparable(mine, other, sets=("forget",))


def test_only_the_named_sets_count() -> None:
    require_comparable(EVALUATION, changed("n", {"forget": 2}))


def described(**changes: Any) -> dict[str, Any]:
    return {"model": {"network": "Llama", "parameters": 100, "adapter_parameters": 0} | changes}


def test_an_adapter_does_not_make_another_model() -> None:
    require_same_model(described(parameters=110, adapter_parameters=10), described())
    older = described()
    del older["model"]["adapter_parameters"]
    require_same_model(described(), older)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "GPT2"}, "the same network as this one, 'Llama'. Found 'GPT2'"),
        ({"parameters": 110}, "the same number of parameters as this one, 100. Found 110"),
    ],
)
def test_another_model_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        require_same_model(described(), described(**changes))


def test_the_model_and_the_run_are_described() -> None:
    found = describe_model(trained())
    assert found["parameters"] == sum(parameter.numel() for parameter in trained().parameters())
    assert (found["name"], found["dtype"], found["context_length"]) == ("from scratch", "float32", 96)
    run = describe_run(small_data(), 2)
    assert (run["seed"], run["world_size"], run["batch_sizes"]["train"]) == (3, 2, 32)
    assert {"python", "torch", "transformers"} <= versions().keys()


def test_the_tokenizer_hash_follows_what_decides_tokens() -> None:
    tokenizer = copy.deepcopy(small_data().tokenizer)
    before = tokenizer_hash(tokenizer)
    assert before == tokenizer_hash(small_data().tokenizer)
    tokenizer.chat_template = "{{ messages }}"
    template = tokenizer_hash(tokenizer)
    tokenizer.add_tokens(["zzzz"])
    assert len({before, template, tokenizer_hash(tokenizer)}) == 3


def test_an_evaluator_without_such_numbers_does_not_load_where_a_run_starts() -> None:
    evaluator = TOFUEvaluator()
    assert evaluator.with_start(lambda: pytest.fail("loaded for nothing")) is evaluator
