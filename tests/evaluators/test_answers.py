"""One pass over rows gives what a naive pass, row by row, gives; order kept, EOS scored, nothing done twice."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from tests.evaluators.stand_ins import diverged, naive, small_data, trained
from unlearnkit.batches import QARow
from unlearnkit.errors import DataError
from unlearnkit.evaluators.answers import AnsweredRow, EncodedRow, answer_rows, columns, encode_rows

LIMIT = 24


def encoded(rows: list[QARow], compared: bool = True) -> list[EncodedRow]:
    return encode_rows(rows, small_data().encode, 96, compared)


def answered(model: object, rows: list[EncodedRow], **changed: int) -> list[AnsweredRow]:
    tokenizer = small_data().tokenizer
    options = {"eos_id": tokenizer.eos_token_id, "max_new_tokens": LIMIT, "batch_tokens": 512} | changed
    return answer_rows(
        model, rows, decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=True).strip(), **options
    )


def as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def some_rows() -> list[QARow]:
    sets = small_data().evaluation_sets
    return [row for name in sets for row in sets[name][:8]]


def test_every_field_equals_the_naive_pass() -> None:
    rows = some_rows()
    found = answered(trained(), encoded(rows))
    expected = naive(trained(), rows, LIMIT)
    assert 0 < sum(row.rouge == 1.0 for row in found) < len(rows)  # both known and unknown answers occur
    for mine, theirs in zip(found, expected, strict=True):
        for name, value in theirs.items():
            # Logits are fp32: an exact match of texts and counts, seven digits of a loss of some nats.
            wanted = pytest.approx(value, rel=2e-5, abs=2e-6) if name.endswith("nll") else value
            assert as_list(getattr(mine, name)) == wanted, (name, mine.index)


def test_answers_known_by_heart_are_not_generated_and_read_the_same() -> None:
    model, rows = trained(), encoded(some_rows())
    found = answered(model, rows)
    by_heart = sum(row.matched == row.tokens for row in found)
    assert 0 < by_heart < len(rows)
    assert model.asked["generated"] == len(rows) - by_heart
    half = copy.deepcopy(model).bfloat16()
    answered(half, rows)
    assert half.asked["generated"] == len(rows)


def test_a_known_answer_is_cut_at_the_limit_like_any_other() -> None:
    model, rows = trained(), encoded(some_rows())
    short = answered(model, rows, max_new_tokens=3)
    prompts = [list(row.prompt) for row in rows]
    new = model.generate_ids(prompts, 3, small_data().tokenizer.eos_token_id)
    assert [row.generation for row in short] == [small_data().tokenizer.decode(ids).strip() for ids in new]


def test_order_and_batches_change_nothing() -> None:
    rows = encoded(some_rows())
    whole = answered(trained(), rows)
    back = answered(trained(), rows[::-1], batch_tokens=1)[::-1]
    assert [row.generation for row in whole] == [row.generation for row in back]
    assert [row.mean_nll for row in whole] == pytest.approx([row.mean_nll for row in back], rel=1e-5)


def test_equal_sequences_are_scored_once() -> None:
    row = small_data().evaluation_sets["world_facts"][0]
    twice = encoded([row, row])
    # The answer stands in for its paraphrase here, so a row has 1 + K different answers.
    assert row.paraphrased_answer is None and len(twice[0].answers) == 2 + len(row.perturbed_answers)
    found = answered(trained(), twice)
    assert trained().asked["scored"] == 1 + len(row.perturbed_answers)
    assert found[0] == found[1]
    assert found[0].paraphrase_mean_nll == found[0].mean_nll


def test_nothing_is_compared_where_it_is_not_asked_for_or_not_there() -> None:
    row = small_data().evaluation_sets["forget"][0]
    for one in (encoded([row], compared=False), encoded([replace(row, perturbed_answers=())])):
        found = answered(trained(), one)
        assert (found[0].paraphrase_mean_nll, found[0].perturbed_mean_nll) == (None, ())
        assert trained().asked["scored"] == 1


def test_eos_is_scored() -> None:
    data = small_data()
    row = data.evaluation_sets["forget"][0]
    [found] = answered(trained(), encoded([row]))
    assert found.tokens == 1 + len(data.encode(row.question, row.answer)[1][:-1])
    ids = data.encode(row.question, row.answer)
    with torch.no_grad():
        logits = trained().network(input_ids=torch.tensor([ids[0] + ids[1]])).logits[0].log_softmax(-1)
    places = range(len(ids[0]) - 1, len(ids[0]) + len(ids[1]) - 2)
    without = -sum(float(logits[k, ids[1][n]]) for n, k in enumerate(places))
    eos = found.mean_nll * found.tokens - without
    assert eos == pytest.approx(-float(logits[-2, data.tokenizer.eos_token_id]), abs=1e-3)


def test_a_diverged_model_yields_rows() -> None:
    found = answered(diverged(), encoded(some_rows()))
    assert all(row.mean_nll != row.mean_nll and isinstance(row.generation, str) for row in found)
    assert answered(diverged(), []) == []


def test_columns_are_lists_over_rows() -> None:
    found = columns(answered(trained(), encoded(some_rows()[:3])))
    assert found["index"] == [row.index for row in some_rows()[:3]]
    assert {len(values) for values in found.values()} == {3}


def test_a_row_beyond_the_context_is_named() -> None:
    row = small_data().evaluation_sets["forget"][1]
    with pytest.raises(DataError, match=rf"`context_length`.*in row {row.index} \('.*for a context of 12"):
        encode_rows([row], small_data().encode, 12)
