"""Negative log-likelihoods of many answers, each after its prompt, in length-bucketed batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unlearnkit.errors import DataError
from unlearnkit.host import eval_mode

_POSITIONS_AT_ONCE = 512
"""Scored positions whose logits are widened to fp32 at one time; bounds memory for large vocabularies."""


class Score(NamedTuple):
    """What the network makes of one answer.

    Attributes:
        nll: Negative log-likelihood summed over the answer's tokens, nats.
        tokens: Number of the answer's tokens.
        matched: Number of them that are the most likely next token; where it equals ``tokens``,
            greedy decoding gives just this answer.
        hits: Which of them are.
        log_probs: Log-probability of each of the answer's tokens, nats.
    """

    nll: float
    tokens: int
    matched: int
    hits: tuple[bool, ...]
    log_probs: tuple[float, ...]


Sequences = Sequence[tuple[Sequence[int], Sequence[int]]]
"""Pairs of prompt ids and answer ids."""

Measure = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""Maps fp32 logits [positions, vocabulary] and the true tokens [positions] to some tensors [positions]."""


def score(
    network: nn.Module, sequences: Sequences, *, context_length: int, batch_tokens: int = 1024
) -> list[Score]:
    """Score each answer given its prompt; prompt tokens are read, not scored.

    Args:
        network: Causal language model of transformers.
        sequences: Pairs of prompt ids and answer ids (with EOS, where it is to be scored).
        context_length: Most tokens the network takes, prompt and answer together.
        batch_tokens: Most tokens of one batch, padding included; a longer sequence has a batch of its own.
            About 1000 suits a processor's caches; an accelerator wants 16 times as many.

    Returns:
        One score for each sequence, in the order given.

    Raises:
        DataError: A prompt or an answer is empty, or both together exceed the context.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tiny = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    >>> [found.tokens for found in score(tiny, [([1, 2], [3]), ([4], [5, 6])], context_length=16)]
    [1, 2]
    """
    return [
        Score(
            nll=float(losses.double().sum()),
            tokens=len(losses),
            matched=int(hits.sum()),
            hits=tuple(hits.tolist()),
            log_probs=tuple((-losses).tolist()),
        )
        for losses, hits in at_answers(
            network, sequences, _losses_and_hits, context_length=context_length, batch_tokens=batch_tokens
        )
    ]


def _losses_and_hits(logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    losses = nn.functional.cross_entropy(logits, targets, reduction="none")
    return losses, logits.argmax(-1) == targets


def at_answers(
    network: nn.Module, sequences: Sequences, measure: Measure, *, context_length: int, batch_tokens: int
) -> list[tuple[Tensor, ...]]:
    """Measure the logits at each token of each answer.

    Sequences of similar length share a batch, and the output layer sees the scored positions only.
    Padding is on the right, where a causal network cannot look at it, so no attention mask is passed.

    Args:
        network: Causal language model of transformers.
        sequences: Pairs of prompt ids and answer ids.
        measure: What to take of some positions' logits; it is called on slices.
        context_length: Most tokens the network takes, prompt and answer together.
        batch_tokens: Most tokens of one batch, padding included.

    Returns:
        For each sequence, in the order given, the tensors of ``measure``, [answer tokens] each, on the CPU.

    Raises:
        DataError: A prompt or an answer is empty, or both together exceed the context.
    """
    check_sequences(sequences, context_length)
    lengths = [len(prompt) + len(answer) for prompt, answer in sequences]
    results: list[tuple[Tensor, ...]] = [()] * len(sequences)
    with eval_mode(network), torch.no_grad():
        for members in _buckets(lengths, batch_tokens):
            chosen = [sequences[position] for position in members]
            for position, found in zip(members, _measure_batch(network, chosen, measure), strict=True):
                results[position] = found
    return results


def check_sequences(sequences: Sequences, context_length: int) -> None:
    """Refuse what cannot be scored.

    Raises:
        DataError: A prompt or an answer is empty, or both together exceed the context.
    """
    for position, (prompt, answer) in enumerate(sequences):
        if not prompt or not answer:
            raise DataError(
                "`sequences` must hold a prompt and an answer of at least one token each. Found "
                f"{len(prompt)} and {len(answer)} tokens in sequence {position}. Leave that row out, or "
                "check that the tokenizer knows its characters."
            )
        if len(prompt) + len(answer) > context_length:
            raise DataError(
                f"`sequences` must fit the context of {context_length} tokens. Found {len(prompt)} prompt "
                f"and {len(answer)} answer tokens in sequence {position}. Leave that row out, or use a model "
                "with a longer context."
            )


def _buckets(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield positions whose sequences share a batch, the longest first: a lack of memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + size]
        start += size


def _measure_batch(network: nn.Module, sequences: Sequences, measure: Measure) -> list[tuple[Tensor, ...]]:
    device = next(network.parameters()).device
    longest = max(len(prompt) + len(answer) for prompt, answer in sequences)
    # The last token is only ever a target. Padding may be any token: no position before it sees it.
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    scored = torch.zeros(len(sequences), longest - 1, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(sequences):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        scored[row, len(prompt) - 1 : end - 1] = True
    targets = ids[:, 1:][scored].to(device)
    logits = _logits_at(network, ids[:, :-1].to(device), scored.to(device))
    slices = [
        measure(some.float(), wanted)
        for some, wanted in zip(
            torch.split(logits, _POSITIONS_AT_ONCE), torch.split(targets, _POSITIONS_AT_ONCE), strict=True
        )
    ]
    counts = [len(answer) for _, answer in sequences]
    whole = [torch.cat(parts).cpu() for parts in zip(*slices, strict=True)]
    return list(zip(*(torch.split(values, counts) for values in whole), strict=True))


def _logits_at(network: nn.Module, ids: Tensor, scored: Tensor) -> Tensor:
    """Return the logits [positions, vocabulary] at the scored places of ids [rows, tokens]."""
    with _head_sees_only(network, scored):
        logits: Tensor = network(input_ids=ids, use_cache=False).logits
    # [1, positions, vocabulary] where the output layer took the selection, else [rows, tokens, vocabulary].
    return logits[scored] if logits.shape[:2] == scored.shape else logits.flatten(0, 1)


@contextmanager
def _head_sees_only(network: Any, scored: Tensor) -> Iterator[None]:
    """Hand the output layer the scored positions alone; what the network does to its logits still happens."""
    find = getattr(network, "get_output_embeddings", None)
    head = find() if find is not None else None
    if head is None or scored.shape[0] == 1:
        yield
        return

    def select(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        hidden = inputs[0]
        return (hidden[scored][None], *inputs[1:]) if hidden.shape[:2] == scored.shape else None

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
