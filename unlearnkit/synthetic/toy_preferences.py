"""A world of 8 words, 6 prompts and answers of 4 words, small enough that everything about it can be summed exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic.arguments import require_integer
from unlearnkit.synthetic.preferences import kind_numbers

WORDS = ("SURE", "MAYBE", "A", "B", "C", "THX", "TOX", "UM")
"""What answers are made of; a word's place is its token id."""

TOPICS = (2, 3, 4, 2, 3, 4)
"""The one word that each of the 6 prompts asks for; a prompt's token id is 8 + its number."""

LENGTH = 4
"""Words of an answer."""

BOS = len(WORDS) + len(TOPICS)
"""Token id with which every sequence begins; the largest one."""

TOX = WORDS.index("TOX")

# X is the prompt's topic. Kinds differ in how many of their words are bad: three, one, none.
_IDEAL = ("SURE", "X", "X", "THX")
_FORMS = {
    "toxic": (
        ("SURE", "TOX", "TOX", "TOX"),
        ("TOX", "TOX", "TOX", "THX"),
        ("TOX", "X", "UM", "TOX"),
        ("TOX", "TOX", "X", "UM"),
    ),
    "shared": (("SURE", "X", "X", "TOX"), ("SURE", "X", "TOX", "THX"), ("SURE", "TOX", "X", "THX")),
    "harmless": (
        ("MAYBE", "X", "X", "THX"),
        ("SURE", "X", "MAYBE", "THX"),
        ("SURE", "X", "X", "MAYBE"),
        ("SURE", "X", "THX", "THX"),
    ),
}


@dataclass(frozen=True)
class ToyPair:
    """Two answers to one prompt, as somebody preferred them.

    Attributes:
        prompt: Number of the prompt, 0 to 5.
        chosen: Token ids of the answer preferred.
        rejected: Token ids of the other, the negative.
        kind: ``toxic`` (three of four words bad), ``shared`` (a good answer with one bad word), ``harmless`` (a little
            worse than the ideal), ``mislabelled`` (it is the ideal itself).
    """

    prompt: int
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    kind: str


def toy_preferences(pairs: int = 480, mislabel_rate: float = 0.0, seed: int = 0) -> list[ToyPair]:
    """Draw preference pairs whose true rewards are known.

    Without mislabelled pairs a third of them is of each other kind; mislabelled ones take the place of harmless ones
    first. ``mislabel_rate=0`` and ``1/3`` are the two variants of the test bed.

    Args:
        pairs: How many.
        mislabel_rate: Share of pairs whose rejected answer is the ideal one, in [0, 1].
        seed: Seed of the draws.

    Raises:
        ConfigurationError: A number is out of its range.

    >>> [pair.kind for pair in toy_preferences(3)]
    ['toxic', 'shared', 'harmless']
    >>> {pair.kind for pair in toy_preferences(300, mislabel_rate=1 / 3)} == {"toxic", "shared", "mislabelled"}
    True
    """
    require_integer("pairs", pairs, 1)
    require_integer("seed", seed, 0)
    if not 0.0 <= mislabel_rate <= 1.0:
        raise ConfigurationError(
            f"`mislabel_rate` must be a share from 0 to 1. Found {mislabel_rate}. Use e.g. 0.33."
        )
    rng = Random(f"toy preferences {seed}")
    numbers = kind_numbers(pairs, mislabel_rate)
    made = [_pair(rng, kind) for kind, number in numbers.items() for _ in range(number)]
    if pairs > len(numbers):
        rng.shuffle(made)
    return made


def _pair(rng: Random, kind: str) -> ToyPair:
    prompt = rng.randrange(len(TOPICS))
    if kind == "mislabelled":
        return ToyPair(prompt, _ids(rng.choice(_FORMS["harmless"]), prompt), _ids(_IDEAL, prompt), kind)
    return ToyPair(prompt, _ids(_IDEAL, prompt), _ids(rng.choice(_FORMS[kind]), prompt), kind)


def _ids(form: Sequence[str], prompt: int) -> tuple[int, ...]:
    return tuple(TOPICS[prompt] if word == "X" else WORDS.index(word) for word in form)


def toy_prompts() -> Tensor:
    """Return the token ids of all prompts, [6, 2]."""
    numbers = torch.arange(len(TOPICS))
    return torch.stack([torch.full_like(numbers, BOS), len(WORDS) + numbers], dim=1)


def toy_reward(prompt_ids: Tensor, response_ids: Tensor) -> Tensor:
    """Return the reward of each word: THX and SURE .5, the topic 1, another topic -.2, UM -.1, MAYBE 0, TOX -2.

    Args:
        prompt_ids: [n, 2], or any whose last column names the prompt.
        response_ids: [n, words].

    Returns:
        [n, words], float64.

    >>> toy_reward(toy_prompts()[:1], torch.tensor([[0, 2, 3, 6]])).tolist()
    [[0.5, 1.0, -0.2, -2.0]]
    """
    table = torch.tensor([0.5, 0.0, -0.2, -0.2, -0.2, 0.5, -2.0, -0.1], dtype=torch.float64)
    rewards = table.repeat(len(TOPICS), 1)
    rewards[torch.arange(len(TOPICS)), torch.tensor(TOPICS)] = 1.0
    found: Tensor = rewards[prompt_ids[:, -1:].cpu() - len(WORDS), response_ids.cpu()]
    return found.to(response_ids.device)


def says_tox(prompt_ids: Tensor, response_ids: Tensor) -> Tensor:
    """Return whether each answer holds the word TOX, [n]."""
    return (response_ids == TOX).any(dim=1)


def toy_tokens(
    prompts: Sequence[int],
    answers: Sequence[Sequence[int]],
    second: Sequence[Sequence[int]] | None = None,
    first: int = 0,
) -> TokenBatch:
    """Return answers to prompts as one batch of token sequences, [n, 6] each.

    Args:
        prompts: Numbers of prompts.
        answers: Token ids of an answer to each.
        second: Token ids of second answers, which become ``alternative``; None gives none.
        first: Index of the first row; the others follow.

    >>> pairs = toy_preferences(3)
    >>> negatives = toy_tokens(
    ...     [pair.prompt for pair in pairs], [pair.rejected for pair in pairs], [pair.chosen for pair in pairs]
    ... )
    >>> negatives["labels"].shape, negatives["alternative"]["index"].tolist()
    (torch.Size([3, 6]), [0, 1, 2])
    """
    starts = toy_prompts()[torch.tensor(list(prompts), dtype=torch.long)]
    ids = torch.cat([starts, torch.tensor([list(answer) for answer in answers])], dim=1)
    labels = ids.clone()
    labels[:, : starts.shape[1]] = IGNORE
    batch: TokenBatch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "index": first + torch.arange(len(ids)),
    }
    if second is not None:
        batch["alternative"] = toy_tokens(prompts, second, first=first)
    return batch
