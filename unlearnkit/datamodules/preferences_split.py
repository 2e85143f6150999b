"""Paper 004's partition of preference pairs: test, preference pairs, positives and negatives, by prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from unlearnkit.artifacts import AnyPath, atomic_write_json, content_hash
from unlearnkit.errors import ConfigurationError

PairPart = Literal["test", "pairs", "positives", "forget", "negatives"]
"""Parts of the partition; ``negatives`` are those that are not to be forgotten."""

PAPER_TEST_PROMPTS = 2000
"""Prompts that paper 004 holds out to test on."""


@dataclass(frozen=True)
class Partition:
    """Which pairs serve what (paper 004, appendix F.1); all pairs of a prompt are in one part.

    Attributes:
        test: Pairs of held-out prompts, on which alignment is measured.
        pairs: Pairs for preference optimisation (DPO, RLOO, a reward model) and for J.
        positives: Pairs whose chosen answer the target learns.
        forget: Pairs whose rejected answer the target learns, and is to forget.
        negatives: Pairs whose rejected answer the target learns, and keeps.
    """

    test: tuple[int, ...]
    pairs: tuple[int, ...]
    positives: tuple[int, ...]
    forget: tuple[int, ...]
    negatives: tuple[int, ...]

    def parts(self) -> dict[PairPart, tuple[int, ...]]:
        """Return the numbers of pairs by the name of their part."""
        return {name: getattr(self, name) for name in get_args(PairPart)}


def partition(
    prompts: Sequence[str],
    *,
    negative_ratio: float = 0.65,
    forget_ratio: float = 0.65,
    pair_ratio: float = 0.2,
    test_prompts: int | None = None,
    seed: int = 0,
) -> Partition:
    """Draw the paper's partition, prompt by prompt.

    Test prompts go first; ``pair_ratio`` of the other pairs are kept as pairs; of what is left ``negative_ratio``
    gives its rejected answers and the rest its chosen ones; ``forget_ratio`` of the negatives are to be forgotten.
    (So the negative ratio is a share of the last 80 %.) Since prompts stay whole, shares of pairs come out as near as
    prompts allow. The order of prompts is that of a hash of seed and text: the same whatever the rows' order.

    Args:
        prompts: The prompt of each pair.
        negative_ratio: Share of the pool that is negative, in (0, 1). Paper: .65 SafeRLHF, .7 UltraFeedback.
        forget_ratio: Share of the negatives to forget, in (0, 1]. Paper: .65 and .8.
        pair_ratio: Share kept as pairs, in (0, 1).
        test_prompts: Prompts to test on; None takes the paper's 2000, or a seventh where there are fewer than 14000.
        seed: Seed of the draw.

    Raises:
        ConfigurationError: A share is out of its range, or a part other than ``negatives`` would be empty.

    >>> found = partition([f"prompt {number // 2}" for number in range(200)])
    >>> {name: len(numbers) for name, numbers in found.parts().items()}
    {'test': 28, 'pairs': 34, 'positives': 48, 'forget': 58, 'negatives': 32}
    """
    shares = {"negative_ratio": negative_ratio, "forget_ratio": forget_ratio, "pair_ratio": pair_ratio}
    for name, share in shares.items():
        if not (0.0 < share < 1.0 or (name == "forget_ratio" and share == 1.0)):
            bound = "1, itself allowed" if name == "forget_ratio" else "1"
            raise ConfigurationError(
                f"`{name}` must be a share between 0 and {bound}. Found {share}. Use e.g. {name}=0.65."
            )
    groups: dict[str, list[int]] = {}
    for number, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(number)
    order = sorted(groups, key=lambda prompt: hashlib.sha256(f"{seed}/{prompt}".encode()).digest())
    held_out = min(PAPER_TEST_PROMPTS, len(order) // 7) if test_prompts is None else test_prompts
    if not 1 <= held_out < len(order):
        raise ConfigurationError(
            f"`test_prompts` must be from 1 to {len(order) - 1}, so that some of {len(order)} prompts are left. Found "
            f"{held_out}. Ask for fewer, or give more prompts."
        )
    test, rest = order[:held_out], order[held_out:]
    kept, pool = _cut(rest, groups, pair_ratio)
    negative, positive = _cut(pool, groups, negative_ratio)
    forget, others = _cut(negative, groups, forget_ratio)
    named = {"test": test, "pairs": kept, "positives": positive, "forget": forget}
    empty = [name for name, part in named.items() if not part]
    if empty:
        raise ConfigurationError(
            f"`forget_ratio`, `negative_ratio`, `pair_ratio` and `test_prompts` must leave a prompt in every part. "
            f"Found none in {', '.join(empty)}, of {len(order)} prompts. Change the shares, or give more prompts."
        )

    def numbers(part: Sequence[str]) -> tuple[int, ...]:
        return tuple(sorted(number for prompt in part for number in groups[prompt]))

    return Partition(numbers(test), numbers(kept), numbers(positive), numbers(forget), numbers(others))


def _cut(order: list[str], groups: dict[str, list[int]], share: float) -> tuple[list[str], list[str]]:
    """Cut after the prompts whose pairs come nearest to a share of all pairs."""
    wanted = share * sum(len(groups[prompt]) for prompt in order)
    place, before = 0, 0
    for prompt in order:
        after = before + len(groups[prompt])
        if abs(after - wanted) > abs(before - wanted):
            break
        place, before = place + 1, after
    return order[:place], order[place:]


def write_manifest(
    path: AnyPath,
    partition: Partition,
    ids: Sequence[int],
    source: str,
    options: dict[str, float | int | None],
    left_out: dict[str, int],
) -> None:
    """Write which row of the data set is in which part, as JSON, atomically.

    Args:
        path: Where to write.
        partition: The partition.
        ids: Row of the data set by number of the pair.
        source: What the rows are rows of, by content.
        options: What the partition was drawn with.
        left_out: How many rows are in no part, by reason.
    """
    parts = {name: [ids[number] for number in numbers] for name, numbers in partition.parts().items()}
    atomic_write_json(
        path,
        {
            "format": 1,
            "kind": "preference partition",
            "source": source,
            "hash": content_hash([source, parts]),
            "options": options,
            "left_out": left_out,
            "sizes": {name: len(rows) for name, rows in parts.items()},
            "rows": parts,
        },
    )
