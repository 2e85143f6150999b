"""Prompts of MUSE, what the model says to them, and its ROUGE in three definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from unlearnkit.batches import QARow
from unlearnkit.errors import DataError
from unlearnkit.evaluators.answers import Columns
from unlearnkit.evaluators.base import AnsweringModel
from unlearnkit.evaluators.muse_definitions import KNOWMEM_TOKENS, VERBMEM_TOKENS
from unlearnkit.metrics.functional import first_answer, rouge, unstemmed_rouge_l_f


@dataclass(frozen=True)
class Prompt:
    """One prompt as tokens.

    Attributes:
        row: The prompt (or question) and the truth as they are in the data.
        ids: The whole prompt's ids, BOS where the tokenizer has one, examples before the question.
        truth: What MUSE compares with: the answer, or the continuation cut to its length.
        tokens: Most tokens to generate.
        cut: Cuts a generation off.
    """

    row: QARow
    ids: tuple[int, ...]
    truth: str
    tokens: int
    cut: Callable[[str], str]


@dataclass(frozen=True)
class Said:
    """What the model makes of one prompt.

    Attributes:
        index: Number of the row in its set.
        question: Prompt or question, without examples.
        truth: What the generation is compared with.
        generation: The model's greedy continuation, cut off.
        rouge_l_f: ROUGE-L F without stemmer (MUSE).
        rouge_l_f_ou: ROUGE-L F with stemmer, against the whole truth (open-unlearning).
        rouge_l_recall: ROUGE-L recall with stemmer (paper 001).
    """

    index: int
    question: str
    truth: str
    generation: str
    rouge_l_f: float
    rouge_l_f_ou: float
    rouge_l_recall: float


def columns(rows: Sequence[Said]) -> Columns:
    """Return the rows' fields, a list over rows each."""
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(Said)}


class Prompter:
    r"""Make prompts as MUSE's code does.

    A continuation's prompt is the text as it is. A question goes after its examples as ``Question: {q}\nAnswer:``;
    MUSE's code adds a space, which byte-level tokenizers have at the start of the answer's first token instead.

    Args:
        tokenizer: Any tokenizer of transformers.
        context_length: Most tokens of prompt and generation together.
        examples: How many of a set's examples go before each question; None takes all.
        space: Whether the space is added.
    """

    def __init__(
        self, tokenizer: Any, context_length: int, examples: int | None = None, space: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.examples = examples
        self.space = space
        self.bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]

    def continuation(self, row: QARow) -> Prompt:
        """Return the prompt of a text that breaks off.

        Raises:
            DataError: Prompt and continuation do not fit the context.
        """
        truth = self._ids(row.answer)[: VERBMEM_TOKENS - len(self.bos)]
        text = str(self.tokenizer.decode(truth, skip_special_tokens=True))
        return self._made(row, row.question, text, VERBMEM_TOKENS, str)

    def question(self, row: QARow, examples: Sequence[tuple[str, str]]) -> Prompt:
        """Return the prompt of a question after its examples.

        Raises:
            DataError: Prompt and answer do not fit the context.
        """
        chosen = [*examples[: self.examples], (row.question, "")]
        text = "\n\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in chosen)
        text = text if self.space else text.removesuffix(" ")
        return self._made(row, text, row.answer, KNOWMEM_TOKENS, first_answer)

    def _made(self, row: QARow, text: str, truth: str, tokens: int, cut: Callable[[str], str]) -> Prompt:
        ids = (*self.bos, *self._ids(text))
        if len(ids) + tokens > self.context_length:
            raise DataError(
                f"`context_length` must hold a prompt and {tokens} new tokens. Found {len(ids)} + {tokens} tokens in "
                f"row {row.index} ({row.question[:60]!r}) for a context of {self.context_length}. Use a model with a "
                "longer context (max_length), fewer `examples`, or leave that row out."
            )
        return Prompt(row, ids, truth, tokens, cut)

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found


def say(model: AnsweringModel, prompts: Sequence[Prompt], tokenizer: Any) -> list[Said]:
    """Continue all prompts greedily and compare; results in their order."""
    generations: dict[int, list[int]] = {}
    for limit in sorted({prompt.tokens for prompt in prompts}):
        places = [place for place, prompt in enumerate(prompts) if prompt.tokens == limit]
        chosen = [list(prompts[place].ids) for place in places]
        new = model.generate_ids(chosen, limit, int(tokenizer.eos_token_id))
        generations |= dict(zip(places, new, strict=True))
    said = []
    for place, prompt in enumerate(prompts):
        text = prompt.cut(str(tokenizer.decode(generations[place], skip_special_tokens=True)))
        said.append(
            Said(
                index=prompt.row.index,
                question=prompt.row.question,
                truth=prompt.truth,
                generation=text,
                rouge_l_f=unstemmed_rouge_l_f(text, prompt.truth),
                rouge_l_f_ou=rouge(text, prompt.row.answer).rouge_l_f,
                rouge_l_recall=rouge(text, prompt.truth).rouge_l_recall,
            )
        )
    return said
