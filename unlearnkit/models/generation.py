"""Greedy decoding of many prompts with a key-value cache, in batches without padding."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.host import eval_mode

_LEAVE = 0.125
"""Rows that have ended leave the batch when they are this share of it: selecting costs about one step."""


def greedy(
    network: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_id: int,
    context_length: int,
    batch_tokens: int = 16384,
) -> list[list[int]]:
    """Continue each prompt with the most likely token until EOS.

    Prompts of similar length share a batch without any padding: the batch starts at the length of the
    shortest one, and a longer prompt gets its remaining tokens one a step while the others are already
    answering. So every row sees just its own tokens at their own places, and the result is that of
    transformers' ``generate(do_sample=False)`` with one prompt at a time. Rows that have ended leave the
    batch. Logits that are not finite end in some token, not in an error.

    Args:
        network: Causal language model of transformers.
        prompts: Token ids, at least one each.
        max_new_tokens: Most tokens to add to a prompt.
        eos_id: Token that ends an answer; it is cut off.
        context_length: Most tokens the network takes, prompt and answer together.
        batch_tokens: Most tokens, prompt and answer together, that one batch may hold in the cache.

    Returns:
        The new token ids of each prompt, in the order of the prompts.

    Raises:
        ConfigurationError: ``max_new_tokens`` is below 1.
        DataError: A prompt is empty or leaves no room for an answer in the context.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tiny = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    >>> [len(new) <= 3 for new in greedy(tiny, [[1, 2], [3]], max_new_tokens=3, eos_id=0, context_length=16)]
    [True, True]
    """
    if max_new_tokens < 1:
        raise ConfigurationError(
            f"`max_new_tokens` must be at least 1. Found {max_new_tokens}. Use e.g. max_new_tokens=200."
        )
    for position, prompt in enumerate(prompts):
        if not 0 < len(prompt) < context_length:
            raise DataError(
                f"`prompts` must hold from 1 to {context_length - 1} tokens each (the context is "
                f"{context_length}). Found {len(prompt)} in prompt {position}. Leave that row out, or use "
                "a model with a longer context."
            )
    results: list[list[int]] = [[] for _ in prompts]
    with eval_mode(network), torch.no_grad():
        for members in _groups([len(prompt) for prompt in prompts], max_new_tokens, batch_tokens):
            chosen = [list(prompts[position]) for position in members]
            for position, new in zip(
                members, _continue(network, chosen, max_new_tokens, eos_id, context_length), strict=True
            ):
                results[position] = new
    return results


def _groups(lengths: list[int], steps: int, batch_tokens: int) -> Iterator[list[int]]:
    """Yield positions whose prompts share a batch, the longest first.

    A batch takes as many steps as its lengths differ, plus ``steps``: prompts that differ by less than that
    are faster together. Beyond it, a long prompt is better read at once.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    group: list[int] = []
    for position in order:
        rows = max(1, batch_tokens // (lengths[group[0]] + steps)) if group else 1
        if group and (len(group) >= rows or lengths[group[0]] - lengths[position] >= steps):
            yield group
            group = []
        group.append(position)
    if group:
        yield group


def _continue(
    network: nn.Module, prompts: list[list[int]], max_new_tokens: int, eos_id: int, context_length: int
) -> list[list[int]]:
    """Return the new tokens of prompts that share a batch."""
    device = next(network.parameters()).device
    starts = [len(prompt) for prompt in prompts]
    ends = [min(start + max_new_tokens, context_length) for start in starts]
    # Tokens [rows, places], -1 where the network has not chosen yet.
    whole = torch.full((len(prompts), max(ends)), -1)
    for row, prompt in enumerate(prompts):
        whole[row, : len(prompt)] = torch.tensor(prompt)
    whole = whole.to(device)
    rows, last_places = torch.arange(len(prompts), device=device), torch.tensor(ends, device=device) - 1
    done = torch.zeros_like(rows, dtype=torch.bool)
    # The prompt's own logits are not needed; a network that cannot leave them out just takes longer.
    last: dict[str, Any] = {}
    if "logits_to_keep" in inspect.signature(network.forward).parameters:
        last["logits_to_keep"] = 1
    tokens, cache = whole[:, : min(starts)], None
    for place in range(min(starts), max(ends)):
        output = network(input_ids=tokens, past_key_values=cache, use_cache=True, **last)
        cache = output.past_key_values
        chosen = output.logits[:, -1].float().argmax(-1)
        if place < max(starts):
            given = whole[rows, place]
            free = given < 0
            chosen = torch.where(free, chosen, given)
            done |= free & (chosen == eos_id)
        else:
            done |= chosen == eos_id
        whole[rows, place] = chosen
        done |= last_places[rows] <= place
        ended = int(done.sum())
        if ended == len(rows):
            break
        tokens = chosen[:, None]
        if ended >= _LEAVE * len(rows):
            keep = (~done).nonzero().squeeze(1)
            cache.reorder_cache(keep)  # the one selection of rows that every type of cache layer has
            rows, done, tokens = rows[keep], done[keep], tokens[keep]
    found = [row[start:end] for row, start, end in zip(whole.tolist(), starts, ends, strict=True)]
    return [new[: new.index(eos_id)] if eos_id in new else new for new in found]
