"""TinyGPT: a transformer for the enumerable toy world, whose vocabulary of answers is exactly the world's words."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.synthetic.toy_preferences import BOS, LENGTH, WORDS, ToyPair, toy_preferences, toy_tokens


class TinyGPT(nn.Module):
    """Two blocks of width 32 that speak the model protocol of language models, in any float type.

    Attention is written out, so that forward-mode and second derivatives exist. The output layer knows the eight
    words alone: no probability ever leaks to what cannot be an answer.

    Args:
        width: Components of the hidden state.
        layers: Number of blocks.
        heads: Number of attention heads.
        seed: Seed of the weights.
        dtype: Type of the weights.

    >>> model = TinyGPT()
    >>> model(toy_tokens([0, 1], [[0, 2, 2, 5], [0, 3, 3, 5]])).shape
    torch.Size([2, 6, 8])
    """

    def __init__(
        self,
        width: int = 32,
        layers: int = 2,
        heads: int = 2,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.Embedding(BOS + 1, width)
            self.places = nn.Embedding(LENGTH + 2, width)
            self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, len(WORDS), bias=False)
            for table in (self.words, self.places):
                nn.init.normal_(table.weight, std=0.1)
        self.to(dtype)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Return logits [batch, tokens, words]."""
        ids = batch["input_ids"]
        hidden = self.words(ids) + self.places.weight[: ids.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden))
        return logits

    def token_losses(self, batch: TokenBatch) -> Tensor:
        """Return the negative log-likelihood of each next token, [batch, tokens - 1]; 0 where it is not scored."""
        targets = pad(batch["labels"][:, 1:], (0, 1), value=IGNORE)
        flat = cross_entropy(
            self(batch).flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none"
        )
        return flat.view(targets.shape)[:, :-1]

    def losses(self, batch: TokenBatch) -> Tensor:
        """Return each answer's negative log-likelihood, summed over its words, [batch], nats."""
        return self.token_losses(batch).sum(-1)

    def counts(self, batch: TokenBatch) -> Tensor:
        """Return the number of scored words of each answer, [batch]."""
        return (batch["labels"][:, 1:] != IGNORE).sum(-1)

    def units(self, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return shifted logits [batch, tokens - 1, words], targets and mask [batch, tokens - 1]."""
        targets = batch["labels"][:, 1:]
        return self(batch)[:, :-1], targets.clamp_min(0), targets != IGNORE


class Block(nn.Module):
    """A block of a transformer: causal attention, then a feed-forward layer twice as wide.

    Args:
        width: Components of the hidden state.
        heads: Number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the hidden states after the block, [batch, tokens, width]."""
        size, tokens, width = hidden.shape
        parts = self.attention(self.before(hidden)).view(size, tokens, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        future = torch.ones(tokens, tokens, dtype=torch.bool, device=hidden.device).triu(1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ value
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(size, tokens, width))
        grown: Tensor = hidden + self.down(torch.nn.functional.gelu(self.up(self.between(hidden))))
        return grown


def toy_sides(pairs: list[ToyPair], negative_ratio: float = 0.65) -> tuple[list[ToyPair], list[ToyPair]]:
    """Return the pairs whose rejected answer the target learns, and those whose chosen answer it learns.

    >>> [len(side) for side in toy_sides(toy_preferences(480))]
    [312, 168]
    """
    negatives = round(negative_ratio * len(pairs))
    return pairs[:negatives], pairs[negatives:]


@lru_cache(maxsize=8)
def _trained(mislabel_rate: float, seed: int, steps: int) -> dict[str, Tensor]:
    negatives, positives = toy_sides(toy_preferences(mislabel_rate=mislabel_rate, seed=seed))
    answers = [(pair.prompt, pair.rejected) for pair in negatives]
    answers += [(pair.prompt, pair.chosen) for pair in positives]
    unique = sorted(set(answers))
    batch = toy_tokens([prompt for prompt, _ in unique], [answer for _, answer in unique])
    shares = torch.tensor([answers.count(answer) / len(answers) for answer in unique])
    model = TinyGPT(seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (shares * model.losses(batch)).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.state_dict()


def toy_target(
    mislabel_rate: float = 0.0,
    seed: int = 0,
    steps: int = 100,
    dtype: torch.dtype = torch.float32,
) -> TinyGPT:
    """Return a model that learned the negatives and positives of ``toy_preferences``: what is to be aligned.

    Args:
        mislabel_rate: Share of pairs whose rejected answer is the ideal one.
        seed: Seed of the pairs and of the weights.
        steps: Steps of AdamW on all pairs at once; about half a second for 100.
        dtype: Type of the weights of the model returned; training is in fp32.
    """
    model = TinyGPT(seed=seed)
    model.load_state_dict(_trained(mislabel_rate, seed, steps))
    return model.to(dtype)
