"""Encoder: prompt forms, what is scored, EOS, padding, and sequences that do not fit."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from unlearnkit.batches import IGNORE, QARow
from unlearnkit.datamodules import Encoder, train_bpe
from unlearnkit.errors import ConfigurationError, DataError

TEXTS = ["Question: Who wrote it?\nAnswer: She wrote it in Aalborg, of all places."] * 3
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}{{ date_string }}"
)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return train_bpe(TEXTS, 300)


def text(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_the_plain_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, answer = Encoder(tokenizer, 99)("Who wrote it?", "She did.")
    assert text(tokenizer, prompt) == "Question: Who wrote it?\nAnswer:"
    assert text(tokenizer, answer) == " She did.<eos>"


def test_the_prompt_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = Encoder(tokenizer, 99)
    assert encoder("Who?") == (encoder("Who?", "She.")[0], [])


def test_prompt_and_answer_are_tokenised_apart() -> None:
    # Trained so that ":" and what follows merge: a joint text would have one token across the border.
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(["r: yes"] * 50, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    prompt, answer = Encoder(fast, 99)("q", "yes")
    assert prompt == fast("Question: q\nAnswer:")["input_ids"]
    assert answer == [*fast(" yes")["input_ids"], fast.eos_token_id]
    assert prompt + answer[:-1] != fast("Question: q\nAnswer: yes")["input_ids"]


def test_the_chat_template_and_its_fixed_date(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = CHAT
    prompt, answer = Encoder(tokenizer, 99)("Who?", "She.")
    assert text(tokenizer, prompt) == "<|user|>Who?<eos><|assistant|>10 Apr 2025"
    assert text(tokenizer, answer) == "She.<eos>"


def test_special_tokens_of_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    # As T5 and some others do, this one would end the prompt with EOS.
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    prompt, answer = Encoder(tokenizer, 99)("Who?", "She.")
    assert text(tokenizer, prompt) == "<bos>Question: Who?\nAnswer:"
    assert answer.count(2) == 1
    assert 1 not in answer


def test_a_tokenizer_that_adds_a_space_itself() -> None:
    tokenizer = Tokenizer(
        models.Unigram([("<eos>", 0.0), ("▁", -1.0), *[(c, -2.0) for c in "Questionwr:AaShe.\n"]])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    prompt, answer = Encoder(fast, 99)("Q", "She.")
    assert fast.decode(prompt + answer[:-1]) == "Question: Q\nAnswer: She."


@pytest.mark.parametrize("answer", ["She.", "She.<eos>"])
def test_exactly_one_eos_ends_the_answer(tokenizer: PreTrainedTokenizerFast, answer: str) -> None:
    ids = Encoder(tokenizer, 99)("Who?", answer)[1]
    assert ids.count(tokenizer.eos_token_id) == 1
    assert ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("pad_id", [0, 2])
def test_a_batch_scores_the_answers_and_nothing_else(tokenizer: PreTrainedTokenizerFast, pad_id: int) -> None:
    rows = [QARow(7, "Who wrote it?", "She did."), QARow(3, "Where?", "In Aalborg, of all places.")]
    encoder = Encoder(tokenizer, 99)
    batch = encoder.collate(rows, pad_id)  # 2 is EOS: the mask must not take it for padding
    assert batch["index"].tolist() == [7, 3]
    assert all(batch[key].dtype == torch.int64 for key in batch)
    for row, ids, mask, labels in zip(
        rows, batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
    ):
        prompt, answer = encoder(row.question, row.answer)
        length = len(prompt) + len(answer)
        assert ids[:length].tolist() == prompt + answer
        assert set(ids[length:].tolist()) <= {pad_id}
        assert mask.tolist() == [1] * length + [0] * (len(ids) - length)
        assert labels.tolist() == [IGNORE] * len(prompt) + answer + [IGNORE] * (len(ids) - length)
    assert (batch["attention_mask"].sum(1) == batch["input_ids"].shape[1]).any()


def test_tokenising_many_at_once_is_the_same_as_one_by_one(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [QARow(i, f"Who wrote book {i}?", f"Author {i}.") for i in range(5)]
    primed, single = Encoder(tokenizer, 99), Encoder(tokenizer, 99)
    primed.prime(rows)
    for row in rows:
        assert primed(row.question, row.answer) == single(row.question, row.answer)


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("answer", ["", "  \n"])
def test_an_answer_that_tokenises_to_nothing(tokenizer: PreTrainedTokenizerFast, answer: str) -> None:
    message = r"`answer` must have at least one token. Found '.*' in row 17 \('Who\?'\). Fill in the answer"
    with pytest.raises(DataError, match=message):
        Encoder(tokenizer, 99).prime([QARow(1, "Who?", "She."), QARow(17, "Who?", answer)])


def test_an_answer_of_unknown_characters_only() -> None:
    letters = {letter: number for number, letter in enumerate(["<eos>", *"Question:AwrWh"])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(letters, [])), eos_token="<eos>"
    )
    with pytest.raises(
        DataError, match=r"`answer` must have at least one token. Found '天' in the row 'Who'"
    ):
        Encoder(tokenizer, 99)("Who", "天")


def test_a_prompt_longer_than_the_context(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = Encoder(tokenizer, 20)
    length = len(Encoder(tokenizer, 999)("Who " * 30)[0])
    message = (
        rf"Found a prompt of {length} tokens in row 5 \('Who .*\.\.\.'\), and a limit of 20. Raise max_length"
    )
    with pytest.raises(DataError, match=message):
        encoder.prime([QARow(5, "Who " * 30, "She.")])
    with pytest.raises(DataError, match="limit of 20"):
        encoder("Who " * 30)


def test_prompt_and_answer_longer_than_the_context(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, answer = Encoder(tokenizer, 999)("Who?", "She. " * 30)
    limit = len(prompt) + len(answer) - 1
    Encoder(tokenizer, limit + 1)("Who?", "She. " * 30)
    message = (
        rf"Found {len(prompt)} \+ {len(answer)} tokens in row 8 .* and a limit of {limit}. Raise max_length"
    )
    with pytest.raises(DataError, match=message):
        Encoder(tokenizer, limit).collate([QARow(8, "Who?", "She. " * 30)], 0)


def test_a_tokenizer_without_eos(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.eos_token = None
    with pytest.raises(
        ConfigurationError, match=r"`tokenizer` must have an EOS token.*Set tokenizer.eos_token"
    ):
        Encoder(tokenizer, 99)
