"""Greedy decoding gives the tokens of transformers' own ``generate``, in the order of the prompts."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from tests.models.tiny_networks import CONTEXT, VOCABULARY, tiny
from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.host import eval_mode
from unlearnkit.models.generation import greedy


def some_prompts(count: int, seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(VOCABULARY) for _ in range(draw.choice((1, 3, 7, 8)))] for _ in range(count)]


def one_by_one(model: nn.Module, prompts: list[list[int]], steps: int, eos_id: int) -> list[list[int]]:
    answers = []
    with eval_mode(model):
        for prompt in prompts:
            ids = torch.tensor([prompt])
            whole = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=steps,
                eos_token_id=eos_id,
                pad_token_id=eos_id,
            )
            new = whole[0, len(prompt) :].tolist()
            answers.append(new[: new.index(eos_id)] if eos_id in new else new)
    return answers


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_tokens_are_those_of_generate(kind: str, attention: str) -> None:
    model, prompts = tiny(kind, attention), some_prompts(40)
    # The token the model likes best, so that many answers end early and rows leave the batch.
    free = greedy(model, prompts, max_new_tokens=12, eos_id=-1, context_length=CONTEXT)
    counts = torch.bincount(
        torch.tensor([token for answer in free for token in answer]), minlength=VOCABULARY
    )
    eos_id = int(counts.argmax())
    found = greedy(model, prompts, max_new_tokens=12, eos_id=eos_id, context_length=CONTEXT)
    assert found == one_by_one(model, prompts, 12, eos_id)
    lengths = {len(answer) for answer in found}
    assert len(lengths) > 3
    assert eos_id not in {token for answer in found for token in answer}


def test_grouping_and_small_batches_change_nothing() -> None:
    model, prompts = tiny("llama"), some_prompts(30)
    whole = greedy(model, prompts, max_new_tokens=10, eos_id=1, context_length=CONTEXT)
    small = greedy(model, prompts, max_new_tokens=10, eos_id=1, context_length=CONTEXT, batch_tokens=1)
    back = greedy(model, prompts[::-1], max_new_tokens=10, eos_id=1, context_length=CONTEXT)
    assert whole == small == back[::-1]
    assert greedy(model, [], max_new_tokens=10, eos_id=1, context_length=CONTEXT) == []


def test_modes_of_every_submodule_come_back() -> None:
    model = tiny("gpt2")
    model.train()
    model.transformer.drop.eval()
    before = [module.training for module in model.modules()]
    first = greedy(model, [[1, 2]], max_new_tokens=8, eos_id=-1, context_length=CONTEXT)
    assert [module.training for module in model.modules()] == before
    model.eval()  # dropout was off: the same tokens
    assert greedy(model, [[1, 2]], max_new_tokens=8, eos_id=-1, context_length=CONTEXT) == first


def test_answers_stop_at_the_end_of_the_context() -> None:
    prompts = [[1] * (CONTEXT - 3), [2]]
    found = greedy(tiny("gpt2"), prompts, max_new_tokens=5, eos_id=-1, context_length=CONTEXT)
    assert [len(answer) for answer in found] == [3, 5]


def test_logits_that_are_not_finite_end_in_some_token() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    found = greedy(model, some_prompts(5), max_new_tokens=4, eos_id=-1, context_length=CONTEXT)
    assert [len(answer) for answer in found] == [4] * 5


@pytest.mark.parametrize("prompt", [[], [1] * CONTEXT])
def test_prompts_outside_the_context_are_refused(prompt: list[int]) -> None:
    with pytest.raises(
        DataError, match=rf"`prompts`.*from 1 to {CONTEXT - 1}.*Found {len(prompt)} in prompt 1"
    ):
        greedy(tiny("gpt2"), [[1], prompt], max_new_tokens=5, eos_id=0, context_length=CONTEXT)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"`max_new_tokens` must be at least 1. Found 0"):
        greedy(tiny("gpt2"), [[1]], max_new_tokens=0, eos_id=0, context_length=CONTEXT)
