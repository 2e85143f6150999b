"""Scores equal a naive row-by-row computation, whatever the batches, the head and the dtype."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

from tests.models.tiny_networks import CONTEXT, VOCABULARY, tiny
from unlearnkit.errors import DataError
from unlearnkit.host import eval_mode
from unlearnkit.models.generation import greedy
from unlearnkit.models.scoring import score

Pairs = list[tuple[list[int], list[int]]]


def some_pairs(count: int, seed: int = 0) -> Pairs:
    draw = random.Random(seed)

    def tokens(most: int) -> list[int]:
        return [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, most))]

    return [(tokens(9), tokens(20)) for _ in range(count)]


def scaled(kind: str) -> nn.Module:
    """Return a network that changes its logits after the output layer."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if kind == "cohere":
        return CohereForCausalLM(CohereConfig(logit_scale=0.5, **sizes))
    return Gemma2ForCausalLM(Gemma2Config(final_logit_softcapping=0.1, head_dim=8, **sizes))


def row_by_row(model: nn.Module, pairs: Pairs) -> tuple[list[float], list[int]]:
    losses, hits = [], []
    with eval_mode(model), torch.no_grad():
        for prompt, answer in pairs:
            logits = model(input_ids=torch.tensor([prompt + answer[:-1]])).logits[0].float()
            places = [(len(prompt) + step - 1, token) for step, token in enumerate(answer)]
            losses.append(float(sum(-logits[place].log_softmax(-1)[token] for place, token in places)))
            hits.append(sum(int(logits[place].argmax()) == token for place, token in places))
    return losses, hits


class WithoutHead(nn.Module):
    """A network that does not tell which its output layer is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: object) -> object:
        return self.network(**inputs)


@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "cohere", "gemma2", "no head"])
def test_equals_row_by_row(kind: str, batch_tokens: int) -> None:
    model = scaled(kind) if kind in ("cohere", "gemma2") else tiny("llama" if kind == "no head" else kind)
    pairs = some_pairs(40)
    losses, hits = row_by_row(model, pairs)
    asked = WithoutHead(model) if kind == "no head" else model
    found = score(asked, pairs, context_length=CONTEXT, batch_tokens=batch_tokens)
    assert [one.tokens for one in found] == [len(answer) for _, answer in pairs]
    assert [one.matched for one in found] == hits
    assert [one.nll for one in found] == pytest.approx(losses, rel=1e-5, abs=1e-5)


def test_many_positions_are_scored_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = tiny("llama"), some_pairs(30)
    whole = score(model, pairs, context_length=CONTEXT)
    monkeypatch.setattr("unlearnkit.models.scoring._POSITIONS_AT_ONCE", 7)
    sliced = score(model, pairs, context_length=CONTEXT)
    assert [one.nll for one in sliced] == pytest.approx([one.nll for one in whole], rel=1e-6)


def test_losses_are_taken_in_fp32_from_half_precision_logits() -> None:
    model, pairs = tiny("llama").to(torch.bfloat16), some_pairs(20)
    losses, _ = row_by_row(model, pairs)
    found = score(model, pairs, context_length=CONTEXT, batch_tokens=1)
    assert [one.nll for one in found] == pytest.approx(losses, rel=1e-5)


def test_a_full_match_is_what_greedy_decoding_gives() -> None:
    model = tiny("llama")
    prompts = [prompt for prompt, _ in some_pairs(12)]
    answers = greedy(model, prompts, max_new_tokens=9, eos_id=-1, context_length=CONTEXT)
    found = score(model, list(zip(prompts, answers, strict=True)), context_length=CONTEXT)
    assert [(one.tokens, one.matched) for one in found] == [(9, 9)] * 12
    wrong = [
        (prompt, [*answer[:4], (answer[4] + 1) % VOCABULARY])
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    assert all(one.matched == 4 for one in score(model, wrong, context_length=CONTEXT))


def test_modes_and_hooks_are_left_as_they_were() -> None:
    model = tiny("gpt2")
    model.train()
    score(model, some_pairs(5), context_length=CONTEXT)
    assert all(module.training for module in model.modules())
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_a_diverged_network_has_losses_that_are_not_finite() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    assert all(one.nll != one.nll for one in score(model, some_pairs(3), context_length=CONTEXT))


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(DataError, match=r"at least one token each. Found 2 and 0 tokens in sequence 1"):
        score(tiny("gpt2"), [([1], [2]), ([1, 2], [])], context_length=CONTEXT)


def test_a_sequence_beyond_the_context_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"context of 64 tokens. Found 60 prompt and 5 answer tokens in sequence 0"
    ):
        score(tiny("gpt2"), [([1] * 60, [2] * 5)], context_length=CONTEXT)
    assert score(tiny("gpt2"), [([1] * 60, [2] * 4)], context_length=CONTEXT)[0].tokens == 4
