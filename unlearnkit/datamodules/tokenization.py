"""Encoder: questions and answers as token sequences of which only the answer is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from unlearnkit.batches import IGNORE, QARow, TokenBatch
from unlearnkit.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Some chat templates print today's date, which would make every number depend on the day of the run.
DATE = "10 Apr 2025"

Encoded = tuple[list[int], list[int]]


class Encoder:
    r"""Turn a question and an answer into prompt ids and answer ids.

    The prompt is the tokenizer's chat template where it has one, else ``Question: {q}\nAnswer:`` with its
    beginning-of-sequence token where it has one. Prompt and answer are tokenised apart and concatenated,
    because a merge across the border would move what is scored. The answer ends with EOS, always.

    Args:
        tokenizer: Any tokenizer of transformers that has an EOS token.
        max_length: Longest prompt + answer in tokens.

    Raises:
        ConfigurationError: The tokenizer has no EOS token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        if tokenizer.eos_token_id is None:
            raise ConfigurationError(
                f"`tokenizer` must have an EOS token, which ends every answer. Found {tokenizer.name_or_path!r} "
                "without one. Set tokenizer.eos_token and save the tokenizer again."
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.eos_id = int(tokenizer.eos_token_id)
        self.chat = bool(getattr(tokenizer, "chat_template", None))
        self.separator = "" if self.chat else _separator(tokenizer)
        self._known: dict[tuple[str, str | None], Encoded] = {}

    def __call__(self, question: str, answer: str | None = None, row: int | None = None) -> Encoded:
        """Return (prompt ids, answer ids with EOS); without an answer the second list is empty.

        Args:
            question: The question.
            answer: The answer, or None for the prompt alone.
            row: Row number for error messages.

        Raises:
            DataError: The answer has no tokens, or the sequence is longer than ``max_length``.
        """
        key = (question, answer)
        if key not in self._known:
            self._learn([key], [row])
        return self._known[key]

    def prime(self, rows: Sequence[QARow]) -> None:
        """Tokenise the questions and answers of many rows at once.

        Raises:
            DataError: As for a single one; the message names the row.
        """
        fresh = [row for row in rows if (row.question, row.answer) not in self._known]
        if fresh:
            self._learn([(row.question, row.answer) for row in fresh], [row.index for row in fresh])

    def lengths(self, answers: Sequence[str]) -> list[int]:
        """Return the tokens of each answer, without EOS."""
        return [
            len(ids)
            for ids in self._ids([self.separator + answer for answer in answers], add_special_tokens=False)
        ]

    def text(self, question: str) -> str:
        """Return the prompt as text."""
        if not self.chat:
            return f"Question: {question}\nAnswer:"
        text: Any = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            tokenize=False,
            add_generation_prompt=True,
            date_string=DATE,
        )
        return str(text)

    def collate(self, rows: Sequence[QARow], pad_id: int) -> TokenBatch:
        """Pad rows on the right into one batch; the mask follows the lengths, never the pad id."""
        pairs = [self(row.question, row.answer, row.index) for row in rows]
        width = max((len(prompt) + len(answer) for prompt, answer in pairs), default=0)
        ids = torch.full((len(rows), width), pad_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, IGNORE)
        for i, (prompt, answer) in enumerate(pairs):
            start, stop = len(prompt), len(prompt) + len(answer)
            ids[i, :stop] = torch.tensor(prompt + answer)
            mask[i, :stop] = 1
            labels[i, start:stop] = ids[i, start:stop]
        index = torch.tensor([row.index for row in rows], dtype=torch.long)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "index": index}

    # -------------------------------------------------------------------------------- inside

    def _learn(self, keys: Sequence[tuple[str, str | None]], numbers: Sequence[int | None]) -> None:
        # A chat template writes the special tokens itself.
        prompts = self._ids([self.text(question) for question, _ in keys], add_special_tokens=not self.chat)
        answers = self._ids([self.separator + (answer or "") for _, answer in keys], add_special_tokens=False)
        for key, number, prompt, answer in zip(keys, numbers, prompts, answers, strict=True):
            while prompt and prompt[-1] == self.eos_id and not self.chat:
                prompt = prompt[:-1]
            if key[1] is None:
                answer = []
            else:
                if not answer or not key[1].strip():
                    raise DataError(
                        f"`answer` must have at least one token. Found {key[1]!r} in {_place(number, key[0])}. "
                        "Fill in the answer or take the row out."
                    )
                answer = answer if answer[-1] == self.eos_id else [*answer, self.eos_id]
            self._check(prompt, answer, number, key[0])
            self._known[key] = (prompt, answer)

    def _ids(self, texts: list[str], *, add_special_tokens: bool) -> list[list[int]]:
        if not texts:
            return []
        found: Any = self.tokenizer(texts, add_special_tokens=add_special_tokens)["input_ids"]
        return [list(ids) for ids in found]

    def _check(self, prompt: list[int], answer: list[int], number: int | None, question: str) -> None:
        where, limit = _place(number, question), self.max_length
        if len(prompt) >= limit:
            raise DataError(
                f"`max_length` must leave room for an answer after the prompt. Found a prompt of {len(prompt)} "
                f"tokens in {where}, and a limit of {limit}. Raise max_length (and the model's context), or "
                "take the row out."
            )
        if len(prompt) + len(answer) > limit:
            raise DataError(
                f"`max_length` must hold prompt and answer. Found {len(prompt)} + {len(answer)} tokens in "
                f"{where}, and a limit of {limit}. Raise max_length (and the model's context), or take the "
                "row out."
            )


def _place(number: int | None, question: str) -> str:
    short = question if len(question) <= 60 else question[:57] + "..."
    return f"the row {short!r}" if number is None else f"row {number} ({short!r})"


def _separator(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return what goes before the answer so that prompt and answer decode with one space between them.

    SentencePiece tokenizers put a space before whatever they are given, byte-level ones do not.
    """
    for separator in (" ", ""):
        parts: Any = tokenizer([":", separator + "a"], add_special_tokens=False)["input_ids"]
        if str(tokenizer.decode(parts[0] + parts[1], clean_up_tokenization_spaces=False)) == ": a":
            return separator
    return " "
