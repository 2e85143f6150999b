"""Rewards: text and ids, responses and tokens, and what is refused."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.alignment import TextReward, rewards_of, token_rewards_of
from unlearnkit.datamodules import train_bpe
from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError


def test_values_of_responses_and_of_tokens() -> None:
    assert rewards_of(lambda prompts, texts: torch.tensor([1.0, 2.0]), ["a", "b"], ["c", "d"]) == [1.0, 2.0]
    assert rewards_of(lambda prompts, texts: [[1, 2], (3,)], ["a", "b"], ["c", "d"]) == [[1.0, 2.0], [3.0]]
    assert rewards_of(lambda prompts, texts: [], [], []) == []


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        ([1.0], MismatchError, "Found 1 for 2 responses"),
        (
            [1.0, [2.0]],
            MismatchError,
            "must score responses or tokens, one of them throughout. Found 1 lists",
        ),
        ([1.0, float("nan")], NonFiniteError, "Found nan for the response 'Bye'"),
        ([[1.0], [float("inf"), 1.0]], NonFiniteError, "Found inf for the response 'Bye'"),
    ],
)
def test_what_a_reward_may_not_return(returned: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rewards_of(lambda prompts, texts: returned, ["Hi", "Hi"], ["Hello", "Bye"])


def test_one_value_stands_at_the_last_token_of_a_response() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    ids = torch.ones(2, 3, dtype=torch.long)
    found = token_rewards_of(lambda prompts, ids: torch.tensor([5.0, 7.0]), ids, ids, mask)
    assert found.tolist() == [[0.0, 5.0, 0.0], [0.0, 0.0, 7.0]]
    tokens = token_rewards_of(lambda prompts, ids: ids.double().masked_fill(~mask, torch.nan), ids, ids, mask)
    assert tokens.tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]


def test_text_is_seen_without_template_padding_and_eos() -> None:
    tokenizer = train_bpe(["Who is it? It is Ana."] * 9, 280)
    seen: list[tuple[str, str]] = []

    def reward(prompts, responses):
        seen.extend(zip(prompts, responses, strict=True))
        return [float(len(text)) for text in responses]

    prompt, answer = tokenizer("Question: Who?")["input_ids"], tokenizer("It is Ana.")["input_ids"]
    end = [tokenizer.eos_token_id, *[tokenizer.pad_token_id] * 2]
    known = TextReward(reward, tokenizer, {tuple(prompt): "Who?"})
    ids = torch.tensor([tokenizer.pad_token_id, *prompt])[None], torch.tensor([*answer, *end])[None]
    assert known(*ids).tolist() == [10.0]
    TextReward(reward, tokenizer)(*ids)
    assert seen == [("Who?", "It is Ana."), ("Question: Who?", "It is Ana.")]


def test_values_of_a_texts_tokens_leave_eos_out() -> None:
    tokenizer = train_bpe(["It is Ana."] * 9, 280)
    answer = tokenizer("It is Ana.")["input_ids"]
    ids = torch.tensor([[*answer, tokenizer.eos_token_id]])
    by_token = TextReward(lambda prompts, texts: [[1.0] * len(answer)], tokenizer)
    assert by_token(ids, ids).tolist() == [[1.0] * len(answer) + [0.0]]
    wrong = TextReward(lambda prompts, texts: [[1.0]], tokenizer)
    with pytest.raises(
        MismatchError, match=rf"as many values as a response has tokens.*Found 1 for {len(answer)}"
    ):
        wrong(ids, ids)


def test_a_tokenizer_that_cannot_end_a_response() -> None:
    tokenizer = train_bpe(["a"] * 9, 260)
    tokenizer.eos_token = tokenizer.pad_token = None
    with pytest.raises(ConfigurationError, match="`tokenizer` must have a pad or an EOS token"):
        TextReward(lambda prompts, texts: [], tokenizer)
