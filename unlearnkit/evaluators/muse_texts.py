"""Whole texts under a model: how likely they are, and how much like texts that it has learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from unlearnkit.errors import DataError
from unlearnkit.evaluators.answers import Columns
from unlearnkit.evaluators.base import AnsweringModel
from unlearnkit.metrics.functional import min_k_score


class TokenScores(Protocol):
    """What is read of one text."""

    @property
    def log_probs(self) -> Sequence[float]:
        """Log-probability of each token, nats."""
        ...


class ReadingModel(AnsweringModel, Protocol):
    """What is asked of a model; ``CausalLM`` has it."""

    def token_statistics_ids(
        self, sequences: list[tuple[list[int], list[int]]], batch_tokens: int
    ) -> Sequence[TokenScores]:
        """Return the statistics of each continuation given its prompt, in the order given."""
        ...


@dataclass(frozen=True)
class ReadText:
    """What the model makes of one text.

    Attributes:
        index: Number of the text in its set.
        tokens: How many of its tokens were scored.
        cut: Whether the context held only a part of it.
        mean_nll: Mean negative log-likelihood, nats a token.
        min_k: Minus the mean of the lowest 40 % of the log-probabilities (MUSE).
        min_k_ou: The same without the text's last token (open-unlearning).
    """

    index: int
    tokens: int
    cut: bool
    mean_nll: float
    min_k: float
    min_k_ou: float


def columns(rows: Sequence[ReadText]) -> Columns:
    """Return the rows' fields, a list over rows each."""
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(ReadText)}


def read_texts(
    model: ReadingModel,
    texts: Sequence[tuple[int, str]],
    tokenizer: Any,
    batch_tokens: int,
) -> list[ReadText]:
    """Score each text, BOS before it where the tokenizer has one; results in the order given.

    A text longer than the context is cut to it.

    Args:
        model: The model.
        texts: Number and content of each.
        tokenizer: Any tokenizer of transformers.
        batch_tokens: Most tokens of a batch.

    Raises:
        DataError: A text has no token to score; the message says which.
    """
    bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    sequences, cut = [], []
    for index, text in texts:
        ids = [*bos, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
        if len(ids) < 2:
            raise DataError(
                f"`texts` must have a token to score after the first one. Found {text!r} in text {index}. Leave it out."
            )
        cut.append(len(ids) > model.context_length)
        ids = ids[: model.context_length]
        sequences.append((ids[:1], ids[1:]))
    statistics = model.token_statistics_ids(sequences, batch_tokens)
    return [
        ReadText(
            index=index,
            tokens=len(one.log_probs),
            cut=was_cut,
            mean_nll=-math.fsum(one.log_probs) / len(one.log_probs),
            min_k=min_k_score(one.log_probs),
            min_k_ou=min_k_score(one.log_probs[:-1]),
        )
        for (index, _), one, was_cut in zip(texts, statistics, cut, strict=True)
    ]
