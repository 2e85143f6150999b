"""One pass over questions and answers: score all answers together, generate, compare the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from unlearnkit.batches import QARow
from unlearnkit.errors import DataError
from unlearnkit.evaluators.base import AnsweringModel
from unlearnkit.metrics.functional import (
    exact_memorisation,
    extraction_strength,
    holds_facts,
    rouge_l_recall,
    row_facts,
)

Encode = Callable[[str, str], tuple[list[int], list[int]]]
"""Maps a question and an answer to prompt ids and answer ids with EOS, tokenised apart."""

Columns = dict[str, list[Any]]
"""The fields of ``AnsweredRow`` but the tokens' log-probabilities, a list over rows each."""


@dataclass(frozen=True)
class EncodedRow:
    """A row as tokens.

    Attributes:
        row: The texts.
        prompt: The question's ids.
        answers: The ids of the answer, then of its paraphrase (the answer itself where there is none), then of each
            perturbed answer; the answer alone where nothing is compared with it.
    """

    row: QARow
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class AnsweredRow:
    """What the model makes of one row.

    Attributes:
        index: Row number in the whole data set.
        question: The question.
        answer: The true answer.
        generation: The model's greedy answer.
        rouge: ROUGE-L recall of the generation against the answer.
        fact: Whether the generation holds the answer's facts; None where there are none.
        tokens: Number of the answer's tokens, EOS included.
        matched: How many of them are the model's most likely next token.
        exact_memorisation: The share of them, EOS left out.
        extraction_strength: The largest part, up to EOS, that greedy decoding gives back once it has read the rest.
        mean_nll: Mean negative log-likelihood of the answer, nats a token.
        paraphrase_mean_nll: The same of the paraphrase; None where nothing is compared.
        perturbed_mean_nll: The same of each perturbed answer.
        log_probs: Log-probability of each of the answer's tokens, nats; for attacks, no column.
    """

    index: int
    question: str
    answer: str
    generation: str
    rouge: float
    fact: bool | None
    tokens: int
    matched: int
    exact_memorisation: float
    extraction_strength: float
    mean_nll: float
    paraphrase_mean_nll: float | None
    perturbed_mean_nll: tuple[float, ...]
    log_probs: tuple[float, ...] = field(metadata={"column": False})


def columns(rows: Sequence[AnsweredRow]) -> Columns:
    """Return the rows' fields but the tokens' log-probabilities, a list over rows each."""
    names = [one.name for one in fields(AnsweredRow) if one.metadata.get("column", True)]
    return {name: [getattr(row, name) for row in rows] for name in names}


def encode_rows(
    rows: Sequence[QARow], encode: Encode, context_length: int, compared: bool = True
) -> list[EncodedRow]:
    """Tokenise rows.

    Args:
        rows: Questions and answers.
        encode: Tokenises a question and an answer.
        context_length: Most tokens of prompt and answer together.
        compared: Whether paraphrase and perturbed answers are needed.

    Raises:
        DataError: A sequence is longer than the context; the message names the row.
    """
    encoded = []
    for row in rows:
        texts = [row.answer]
        if compared and row.perturbed_answers:
            texts += [row.paraphrased_answer or row.answer, *row.perturbed_answers]
        pairs = [encode(row.question, text) for text in texts]
        prompt = pairs[0][0]
        longest = max(len(answer) for _, answer in pairs)
        if len(prompt) + longest > context_length:
            raise DataError(
                f"`context_length` must hold prompt and answer. Found {len(prompt)} + {longest} tokens in row "
                f"{row.index} ({row.question[:60]!r}) for a context of {context_length}. Use a model with a longer "
                "context, or leave that row out."
            )
        encoded.append(EncodedRow(row, tuple(prompt), tuple(tuple(answer) for _, answer in pairs)))
    return encoded


def answer_rows(
    model: AnsweringModel,
    rows: Sequence[EncodedRow],
    *,
    decode: Callable[[list[int]], str],
    eos_id: int,
    max_new_tokens: int,
    batch_tokens: int,
) -> list[AnsweredRow]:
    """Score and generate for all rows at once; results in their order.

    Each different (prompt, answer) is scored once. Where every token of the true answer was the most likely
    one, greedy decoding gives just that answer, so it is not run; in half precision it always is, because
    there two ways to compute the same logits may disagree on a near tie.
    """
    places: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    for encoded in rows:
        for answer in encoded.answers:
            places.setdefault((encoded.prompt, answer), len(places))
    scores = model.score_ids([(list(prompt), list(answer)) for prompt, answer in places], batch_tokens)

    known: dict[tuple[int, ...], list[int]] = {}
    if next(model.parameters()).dtype in (torch.float32, torch.float64):
        for encoded in rows:
            score = scores[places[encoded.prompt, encoded.answers[0]]]
            if score.matched == score.tokens and encoded.answers[0][-1] == eos_id:
                known[encoded.prompt] = list(encoded.answers[0][:-1])[:max_new_tokens]
    missing = [prompt for prompt in dict.fromkeys(encoded.prompt for encoded in rows) if prompt not in known]
    new = model.generate_ids([list(prompt) for prompt in missing], max_new_tokens, eos_id)
    known |= dict(zip(missing, new, strict=True))

    answered = []
    for encoded in rows:
        row = encoded.row
        own = [scores[places[encoded.prompt, answer]] for answer in encoded.answers]
        means = [score.nll / score.tokens for score in own]
        hits = own[0].hits[: -1 if encoded.answers[0][-1] == eos_id else None]
        generation = decode(known[encoded.prompt])
        answered.append(
            AnsweredRow(
                index=row.index,
                question=row.question,
                answer=row.answer,
                generation=generation,
                rouge=rouge_l_recall(generation, row.answer),
                fact=holds_facts(generation, row_facts(row.question, row.answer, row.value)),
                tokens=own[0].tokens,
                matched=own[0].matched,
                exact_memorisation=exact_memorisation(hits),
                extraction_strength=extraction_strength(hits),
                mean_nll=means[0],
                paraphrase_mean_nll=means[1] if len(means) > 1 else None,
                perturbed_mean_nll=tuple(means[2:]),
                log_probs=tuple(own[0].log_probs),
            )
        )
    return answered
