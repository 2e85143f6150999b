"""Prompts of MUSE: what stands in them, where truths and generations end."""

from __future__ import annotations

import pytest

from unlearnkit.batches import QARow
from unlearnkit.datamodules import train_bpe
from unlearnkit.errors import DataError
from unlearnkit.evaluators.muse_prompts import Prompter, columns, say

TOKENIZER = train_bpe([], 259)
EXAMPLES = [("Who came?", "Bo"), ("Where?", "Qas")]
ROW = QARow(4, "Who left?", "Ann")


class Parrot:
    """Says the same to every prompt, and remembers what it was asked."""

    context_length = 512

    def __init__(self, text: str) -> None:
        self.ids = TOKENIZER(text)["input_ids"]
        self.limits: list[int] = []

    def generate_ids(self, prompts: list[list[int]], max_new_tokens: int, eos_id: int) -> list[list[int]]:
        self.limits.append(max_new_tokens)
        return [self.ids[:max_new_tokens] for _ in prompts]


def text_of(prompt):
    assert prompt.ids[0] == TOKENIZER.bos_token_id
    return TOKENIZER.decode(prompt.ids[1:])


@pytest.mark.parametrize(
    ("examples", "space", "text"),
    [
        (
            None,
            False,
            "Question: Who came?\nAnswer: Bo\n\nQuestion: Where?\nAnswer: Qas\n\nQuestion: Who left?\nAnswer:",
        ),
        (1, False, "Question: Who came?\nAnswer: Bo\n\nQuestion: Who left?\nAnswer:"),
        (0, True, "Question: Who left?\nAnswer: "),
    ],
)
def test_questions_go_after_their_examples(examples, space, text):
    assert text_of(Prompter(TOKENIZER, 512, examples, space).question(ROW, EXAMPLES)) == text


def test_the_truth_of_a_continuation_is_cut_to_128_tokens_with_bos():
    row = QARow(0, "Once", " upon a time" * 20)
    prompt = Prompter(TOKENIZER, 512).continuation(row)
    assert text_of(prompt) == "Once"
    assert len(prompt.truth) == 127 and row.answer.startswith(prompt.truth)


def test_a_tokenizer_without_bos_compares_128_tokens():
    plain = train_bpe([], 259)
    plain.bos_token = None
    prompt = Prompter(plain, 512).continuation(QARow(0, "Once", "x" * 200))
    assert len(prompt.truth) == 128 and len(prompt.ids) == 4


def test_three_definitions_of_rouge():
    prompter = Prompter(TOKENIZER, 512)
    long = QARow(0, "Once", "bridges " * 30)
    parrot = Parrot("bridge bridges\n\nQuestion: more")
    continued, answered = say(
        parrot, [prompter.continuation(long), prompter.question(QARow(1, "What?", "bridges"), [])], TOKENIZER
    )
    assert parrot.limits == [32, 128]
    words = continued.truth.split()
    assert len(words) == 16, "the last one is cut"
    assert (
        continued.generation == "bridge bridges\n\nQuestion: more" and answered.generation == "bridge bridges"
    )
    assert continued.rouge_l_recall == pytest.approx(2 / 16), "stemmed, against the cut truth"
    assert continued.rouge_l_f_ou == pytest.approx(2 * (2 / 4) * (2 / 30) / (2 / 4 + 2 / 30)), (
        "against the whole one"
    )
    assert answered.rouge_l_f == pytest.approx(2 / 3), "one of two words"
    assert columns([continued, answered])["index"] == [0, 1]


def test_a_prompt_without_room_is_named():
    with pytest.raises(
        DataError, match=r"Found 28 \+ 32 tokens in row 4 \('Who left\?'\) for a context of 50"
    ):
        Prompter(TOKENIZER, 50, examples=0).question(ROW, [])
