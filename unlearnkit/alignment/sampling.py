"""Draw responses from a model, each from uniform numbers of its own: the same on any device, batch and rank."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.errors import DataError
from unlearnkit.host import eval_mode


@dataclass(frozen=True)
class Responses:
    """Drawn responses, as one batch and taken apart.

    Attributes:
        batch: Prompts with their responses, of which the responses are scored.
        prompt_ids: [n, longest prompt], padded on the left.
        response_ids: [n, longest response], padded on the right.
        mask: [n, longest response]; which tokens were drawn, EOS among them.
    """

    batch: TokenBatch
    prompt_ids: Tensor
    response_ids: Tensor
    mask: Tensor


def uniform_draws(seed: int, round_: int, rows: Sequence[int], samples: int, length: int) -> Tensor:
    """Return uniform numbers that depend on seed, round and row alone, [rows, samples, length], float64.

    >>> one, two = uniform_draws(0, 0, [4, 7], 2, 3), uniform_draws(0, 0, [7], 2, 3)
    >>> torch.equal(one[1:], two)
    True
    """
    made = torch.empty(len(rows), samples, length, dtype=torch.float64)
    for place, row in enumerate(rows):
        word = hashlib.sha256(f"responses {seed}/{round_}/{row}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(word[:7], "big"))
        made[place] = torch.rand(samples, length, generator=generator, dtype=torch.float64)
    return made


def prompts_of(batch: TokenBatch) -> list[list[int]]:
    """Return the prompts of a batch: its tokens that are not scored, without padding.

    Raises:
        DataError: A row has none.
    """
    rows = zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
    prompts = [ids[(mask == 1) & (labels == IGNORE)].tolist() for ids, mask, labels in rows]
    for row, prompt in enumerate(prompts):
        if not prompt:
            raise DataError(
                f"`batch` must hold prompts to respond to. Found row {row} without one: all its tokens are scored. "
                "Label the prompt's tokens with -100."
            )
    return prompts


def draw_responses(
    model: Any, prompts: Sequence[Sequence[int]], draws: Tensor, *, pad_id: int = 0, eos_id: int | None = None
) -> Responses:
    """Draw a response to each prompt, token by token from the model's own distribution.

    Each token is where the cumulated probabilities pass a uniform number. The whole sequence goes through the model
    at every step, which works on every model; for long responses it is slow.

    Args:
        model: A language model in the model protocol.
        prompts: Token ids, at least one each.
        draws: Uniform numbers, [prompts, length]; ``length`` is the most tokens of a response.
        pad_id: Token to fill up with; it is never seen.
        eos_id: Token that ends a response; None draws ``length`` tokens always.

    >>> from unlearnkit.testing import TinyGPT
    >>> drawn = draw_responses(TinyGPT(), [[14, 8]] * 3, uniform_draws(0, 0, [0], 3, 4)[0])
    >>> drawn.response_ids.shape, bool(drawn.mask.all())
    (torch.Size([3, 4]), True)
    """
    device = next(model.parameters()).device
    n, length = draws.shape
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    longest = int(starts.max())
    ids = torch.full((n, longest + length), pad_id, device=device)
    left = torch.full((n, longest), pad_id, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = left[row, longest - len(prompt) :] = torch.tensor(list(prompt))
    rows = torch.arange(n, device=device)
    taken = torch.zeros(n, length, dtype=torch.bool, device=device)
    alive = torch.ones(n, dtype=torch.bool, device=device)
    with eval_mode(model), torch.no_grad():
        for step in range(length):
            seen = ids[:, : longest + step]
            mask = torch.arange(seen.shape[1], device=device) < (starts + step)[:, None]
            batch = {"input_ids": seen, "attention_mask": mask.long()}
            logits = model(batch | {"labels": torch.full_like(seen, IGNORE), "index": rows})
            chances = logits[rows, starts + step - 1].double().softmax(-1)
            passed = chances.cumsum(-1) < draws[:, step, None].to(device)
            chosen = passed.sum(-1).clamp_max(chances.shape[-1] - 1)
            ids[rows, starts + step] = torch.where(alive, chosen, pad_id)
            taken[:, step] = alive
            if eos_id is not None:
                alive = alive & (chosen != eos_id)
            if not bool(alive.any()):
                break
    return _taken_apart(ids, starts, taken, left, pad_id)


def _taken_apart(ids: Tensor, starts: Tensor, taken: Tensor, left: Tensor, pad_id: int) -> Responses:
    """Cut off what no response reaches, and label the responses."""
    width = int(taken.sum(1).max())
    taken = taken[:, :width]
    ids = ids[:, : left.shape[1] + width]
    places = torch.arange(ids.shape[1], device=ids.device)
    ends = starts + taken.sum(1)
    within = places < ends[:, None]
    labels = torch.where(within & (places >= starts[:, None]), ids, IGNORE)
    batch: TokenBatch = {
        "input_ids": ids,
        "attention_mask": within.long(),
        "labels": labels,
        "index": torch.arange(len(ids), device=ids.device),
    }
    own = starts[:, None] + torch.arange(width, device=ids.device)
    return Responses(batch, left, ids.gather(1, own).masked_fill(~taken, pad_id), taken)
