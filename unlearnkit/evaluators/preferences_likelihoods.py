"""What a model says to prompts, how likely responses are to it and to the one it started at, and how far it moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.evaluators.answers import Columns
from unlearnkit.evaluators.base import AnsweringModel, Scored
from unlearnkit.evaluators.preferences_rows import PreferenceData, PreferenceRow, Texts
from unlearnkit.host import eval_mode
from unlearnkit.metrics.functional import kl_from_start, min_k_scores

Ids = tuple[list[int], list[int]]
"""Token ids of a prompt and of a response."""

Scorer = Callable[[Sequence[str], Sequence[str]], Sequence[tuple[float, int]]]
"""Returns the negative log-likelihood of each response to its prompt, nats, and its number of tokens."""

_SCORED: tuple[Texts, ...] = (
    ("test", "chosen"), ("test", "rejected"), ("forget", "rejected"), ("retain", "chosen"),
)  # fmt: skip


def response_columns(
    model: AnsweringModel,
    data: PreferenceData,
    rows: Sequence[PreferenceRow],
    limit: int,
    scorer: Scorer | None,
    batch_tokens: int,
) -> Columns:
    """Return what the model says to each prompt, greedily, and how likely that is.

    Args:
        model: The model.
        data: Encodes and decodes.
        rows: Rows whose prompts are answered.
        limit: Most tokens of a response.
        scorer: Another model that scores the responses; None leaves that out.
        batch_tokens: Most tokens of a batch when scoring.
    """
    prompts = [data.encode(row.prompt, row.chosen)[0] for row in rows]
    # Rows share prompts, and a greedy response is the same each time.
    different = list(dict.fromkeys(map(tuple, prompts)))
    generated = model.generate_ids(list(map(list, different)), limit, int(data.tokenizer.eos_token_id))
    known = dict(zip(different, generated, strict=True))
    new = [known[tuple(prompt)] for prompt in prompts]
    texts = [str(data.tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in new]
    said = [number for number, ids in enumerate(new) if ids]
    scores = score_each(model, [(prompts[number], new[number]) for number in said], batch_tokens)
    own = dict(zip(said, scores, strict=True))
    found: Columns = {
        "prompt": [row.prompt for row in rows],
        "kind": [row.kind for row in rows],
        "generation": texts,
        "own_nll": [own[number].nll if number in own else 0.0 for number in range(len(rows))],
        "own_tokens": [len(ids) for ids in new],
    }
    if scorer is not None:
        others = scorer(found["prompt"], texts)
        found["reference_nll"] = [nll for nll, _ in others]
        found["reference_tokens"] = [tokens for _, tokens in others]
    return found


def likelihood_columns(
    model: AnsweringModel,
    start: Any,
    data: PreferenceData,
    rows: Mapping[str, Sequence[PreferenceRow]],
    members: Mapping[str, Texts],
    batch_tokens: int,
) -> dict[str, Columns]:
    """Return the columns of likelihoods of each set, and of the two sets of the membership attack.

    Args:
        model: The model.
        start: The model that it started at; None leaves out what compares with it.
        data: Encodes.
        rows: The rows of each set.
        members: The texts of ``members`` and ``nonmembers``.
        batch_tokens: Most tokens of a batch.
    """
    texts = list(dict.fromkeys([*_SCORED, *members.values()]))
    ids = {key: [data.encode(row.prompt, getattr(row, key[1])) for row in rows[key[0]]] for key in texts}
    scores = _scores(model, ids, batch_tokens)
    index = {name: [row.index for row in own] for name, own in rows.items()}
    found: dict[str, Columns] = {"test": {"index": index["test"]}}
    for part in ("chosen", "rejected"):
        own = scores["test", part]
        found["test"] |= {
            f"{part}_log_prob": [-one.nll for one in own],
            f"{part}_tokens": [one.tokens for one in own],
        }
    for name, part in _SCORED[2:]:
        own = scores[name, part]
        found[name] = {
            "index": index[name],
            "log_prob": [-one.nll for one in own],
            "tokens": [one.tokens for one in own],
        }
    for name, key in members.items():
        found[name] = {"index": index[key[0]], "min_k": min_k_scores([one.log_probs for one in scores[key]])}
    if start is not None:
        start = start.to(next(model.parameters()).device)
        before = _scores(start, {key: ids[key] for key in _SCORED[:2]}, batch_tokens)
        for (_, part), own in before.items():
            found["test"][f"{part}_start_log_prob"] = [-one.nll for one in own]
        found["test"]["kl_sum"] = kl_sums(model, start, ids["test", "chosen"], batch_tokens)
    return found


def _scores(
    model: AnsweringModel, ids: Mapping[Texts, list[Ids]], batch_tokens: int
) -> dict[Texts, list[Scored]]:
    """Score several lists of texts in one pass."""
    flat = iter(score_each(model, [pair for own in ids.values() for pair in own], batch_tokens))
    return {key: [next(flat) for _ in own] for key, own in ids.items()}


def score_each(model: AnsweringModel, sequences: Sequence[Ids], batch_tokens: int) -> list[Scored]:
    """Score each response given its prompt, in the order given; equal pairs go through the model once."""
    places: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    for prompt, response in sequences:
        places.setdefault((tuple(prompt), tuple(response)), len(places))
    scores = model.score_ids([(list(prompt), list(response)) for prompt, response in places], batch_tokens)
    return [scores[places[tuple(prompt), tuple(response)]] for prompt, response in sequences]


@torch.no_grad()
def kl_sums(model: Any, start: Any, sequences: Sequence[Ids], batch_tokens: int) -> list[float]:
    """Return ``KL(p || p*)`` summed over each response's tokens, nats.

    Args:
        model: The model, with ``units``.
        start: The model that it started from, on the same device.
        sequences: Prompts and responses.
        batch_tokens: Most tokens of a batch, padding included.

    Raises:
        MismatchError: The models have other vocabularies.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(sequences)), key=lambda place: -sum(map(len, sequences[place])))
    found = [0.0] * len(sequences)
    first = 0
    with eval_mode(model), eval_mode(start):
        while first < len(order):
            longest = sum(map(len, sequences[order[first]]))
            members = order[first : first + max(1, batch_tokens // longest)]
            batch = _batch([sequences[place] for place in members], device)
            logits, _, mask = model.units(batch)
            start_logits, _, _ = start.units(batch)
            sums = (kl_from_start(logits, start_logits) * mask).sum(-1).tolist()
            for place, value in zip(members, sums, strict=True):
                found[place] = value
            first += len(members)
    return found


def _batch(sequences: Sequence[Ids], device: torch.device) -> TokenBatch:
    longest = max(sum(map(len, pair)) for pair in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
    for row, (prompt, response) in enumerate(sequences):
        end = len(prompt) + len(response)
        ids[row, :end] = torch.tensor([*prompt, *response])
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = ids[row, len(prompt) : end]
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        "labels": labels.to(device),
        "index": torch.arange(len(sequences), device=device),
    }
