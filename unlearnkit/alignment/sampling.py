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
from unlearnkit.sharding import sharded_modules


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

    Each token is where the cumulated probabilities pass a uniform number. All rows stand at the same place of their
    sequences; a longer prompt gets its remaining tokens one a step while others are already answering, so nothing is
    padded before it is seen. A network of transformers keeps its keys and values; any other model, and one that is
    sharded, sees the whole sequence at every step.

    Args:
        model: A language model in the model protocol.
        prompts: Token ids, at least one each.
        draws: Uniform numbers, [prompts, length]; ``length`` is the most tokens of a response.
        pad_id: Token to fill up with; it is never seen by what counts.
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
    taken = torch.zeros(n, length, dtype=torch.bool, device=device)
    alive = torch.ones(n, dtype=torch.bool, device=device)
    rows, numbers = torch.arange(n, device=device), draws.to(device)
    following = _Following(model)
    with eval_mode(model), torch.no_grad():
        for place in range(int(starts.min()), longest + length):
            chances = following(ids[:, :place]).double().softmax(-1)
            own = place - starts
            free = alive & (own >= 0) & (own < length)
            within = own.clamp(0, length - 1)
            passed = chances.cumsum(-1) < numbers[rows, within, None]
            chosen = passed.sum(-1).clamp_max(chances.shape[-1] - 1)
            ids[:, place] = torch.where(free, chosen, ids[:, place])
            taken[rows, within] |= free
            if eos_id is not None:
                alive = alive & ~(free & (chosen == eos_id))
            if not bool((alive & (own + 1 < length)).any()):
                break
    return _taken_apart(ids, starts, taken, left, pad_id)


class _Following:
    """Return the logits of what follows sequences that grow by a token with each call, [n, vocabulary]."""

    def __init__(self, model: Any) -> None:
        self.model = model
        network: Any = getattr(model, "network", None)
        # A sharded network gathers its weights when its model is called, not when it is called itself.
        caches = getattr(getattr(network, "config", None), "use_cache", None) is not None
        self.network = network if caches and not sharded_modules(model) else None
        self.cache: Any = None
        self.seen = 0

    def __call__(self, ids: Tensor) -> Tensor:
        if self.network is None:
            batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            index = torch.arange(len(ids), device=ids.device)
            logits: Tensor = self.model(batch | {"labels": torch.full_like(ids, IGNORE), "index": index})
            return logits[:, -1]
        output = self.network(input_ids=ids[:, self.seen :], past_key_values=self.cache, use_cache=True)
        self.cache, self.seen = output.past_key_values, ids.shape[1]
        last: Tensor = output.logits[:, -1]
        return last


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
