"""Another model's likelihoods, against transformers one row at a time."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.evaluators.preferences_stand_ins import Data, trained
from unlearnkit.errors import DataNotFoundError
from unlearnkit.metrics.language_scorer import LanguageScorer

PROMPTS = ["What is red thing 0?", "Why?", "", "Say nothing.", *[f"prompt {n}" for n in range(8)]]
RESPONSES = ["It is a red stone.", "Because of the very long way to it.", "Yes it is.", "", *["short"] * 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scorer") / "model"
    trained().save(path, Data().tokenizer)
    return str(path)


def test_it_equals_one_row_at_a_time(folder):
    tokenizer, network = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder).eval(),
    )
    found = LanguageScorer(folder)(PROMPTS, RESPONSES)
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    for (nll, tokens), prompt, response in zip(found, PROMPTS, RESPONSES, strict=True):
        before = bos + tokenizer(prompt, add_special_tokens=False)["input_ids"]
        after = tokenizer(response, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([before + after])
        assert tokens == len(after) - (not before and bool(after))
        if tokens:
            with torch.no_grad():
                logits = network(ids).logits[0, :-1].double().log_softmax(-1)
            each = -logits.gather(-1, ids[0, 1:, None])[:, 0]
            assert nll == pytest.approx(each[-tokens:].sum().item(), rel=1e-4)
        else:
            assert nll == 0.0


def test_a_long_prompt_loses_its_beginning(folder):
    scorer = LanguageScorer(folder, max_length=12)
    cut, whole = (
        scorer(["one two three " * 20], ["It is."])[0],
        LanguageScorer(folder)(["three"], ["It is."])[0],
    )
    assert cut[1] == whole[1]


def test_nothing_is_downloaded():
    with pytest.raises(DataNotFoundError, match=r"Found 'nobody/nothing'.*hf download nobody/nothing"):
        LanguageScorer("nobody/nothing")
