"""Whole texts: which tokens are scored, and where a context cuts them."""

from __future__ import annotations

import math

import pytest

from tests.evaluators.muse_stand_ins import diverged, news
from unlearnkit.errors import DataError
from unlearnkit.evaluators.muse_texts import columns, read_texts
from unlearnkit.metrics.functional import min_k_score
from unlearnkit.models import CausalLM


def test_all_tokens_but_bos_are_scored():
    data = news()
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=384)
    model.materialize(data.tokenizer)
    texts = list(enumerate(data.evaluation_texts["privleak_holdout"]))
    found = read_texts(model, texts, data.tokenizer, batch_tokens=300)
    for (index, text), one in zip(texts, found, strict=True):
        ids = data.tokenizer(text, add_special_tokens=False)["input_ids"]
        (alone,) = model.token_statistics_ids([([data.tokenizer.bos_token_id], ids)], 1000)
        assert (one.index, one.tokens, one.cut) == (index, len(ids), False)
        assert one.mean_nll == pytest.approx(-sum(alone.log_probs) / len(ids), rel=1e-5)
        assert one.min_k == pytest.approx(min_k_score(alone.log_probs), rel=1e-5)
        assert one.min_k_ou == pytest.approx(min_k_score(alone.log_probs[:-1]), rel=1e-5)
    assert columns(found)["index"] == list(range(len(texts)))


def test_a_text_longer_than_the_context_is_cut_and_says_so():
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=32)
    model.materialize(news().tokenizer)
    (found,) = read_texts(model, [(0, news().evaluation_texts["privleak_forget"][0])], news().tokenizer, 1000)
    assert found.cut and found.tokens == 31


def test_a_text_without_a_token_is_named():
    with pytest.raises(DataError, match="Found '' in text 7. Leave it out"):
        read_texts(diverged(), [(7, "")], news().tokenizer, 1000)


def test_a_model_that_diverged_has_no_score():
    (found,) = read_texts(diverged(), [(0, "The mill burned.")], news().tokenizer, 1000)
    assert math.isnan(found.mean_nll) and math.isnan(found.min_k)
