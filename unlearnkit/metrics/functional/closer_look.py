"""Model capability and forget efficacy: closer-look's two aggregates (Yuan et al. 2024), and its token entropy.

Six numbers a set: probability, ROUGE-L recall, truth ratio, token entropy, similarity of generation and answer, share
of entailed rows. Similarity and entailment depend on the encoders, so a report names them. Direction of both: up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from unlearnkit.errors import MismatchError
from unlearnkit.metrics.functional.utility import UtilityResult, partial_utility

ASPECTS: tuple[str, ...] = (
    "probability",
    "rouge",
    "truth_ratio",
    "token_entropy",
    "similarity",
    "entailment",
)
"""The six numbers of a set."""

CAPABILITY_PARTS: tuple[str, ...] = tuple(
    f"{split}_{aspect}" for split in ("retain", "real_authors", "world_facts") for aspect in ASPECTS
)
"""Names of the eighteen parts of model capability."""

EFFICACY_PARTS: tuple[str, ...] = tuple(f"forget_{aspect}" for aspect in ASPECTS if aspect != "token_entropy")
"""Names of the five parts of forget efficacy."""


def token_entropy(tokens: Sequence[str]) -> float:
    """Return the entropy of the tokens' frequencies over its largest value, log n: 1 where none repeats. Up.

    Args:
        tokens: A generation, as the model's tokenizer splits it.

    Returns:
        In [0, 1]; 0 for fewer than two tokens. Low where a model repeats itself, as collapsed ones do.

    >>> token_entropy(["a", "b", "c"]), token_entropy(["a", "a", "b", "b"]), token_entropy(["a"])
    (1.0, 0.5, 0.0)
    """
    n = len(tokens)
    if n < 2:
        return 0.0
    # log n - H in one sum: tokens that never repeat give 1 to the last bit.
    return 1 - math.fsum(count * math.log(count) for count in Counter(tokens).values()) / (n * math.log(n))


def model_capability(parts: Mapping[str, float]) -> UtilityResult:
    """Return the harmonic mean of the eighteen parts of ``CAPABILITY_PARTS``: closer-look's model utility, 002's MU.

    TOFU's own model utility has nine of them.

    >>> model_capability(dict.fromkeys(CAPABILITY_PARTS, 0.5)).value
    0.5

    Raises:
        MismatchError: A part is missing or unknown.
        DataError: A part is negative.
        NonFiniteError: A part is NaN or infinite.
    """
    _require_parts(parts, CAPABILITY_PARTS, "model capability")
    return partial_utility({name: parts[name] for name in CAPABILITY_PARTS})


def forget_efficacy(parts: Mapping[str, float]) -> float:
    """Return 1 - the mean of the five parts of ``EFFICACY_PARTS`` (closer-look; paper 002's UFE). Up.

    ``forget_truth_ratio`` is TOFU's mean min(R, 1/R); closer-look's own is one minus that, low where truth and wrong
    answers are equally likely, and that is what enters the mean.

    >>> round(forget_efficacy(dict.fromkeys(EFFICACY_PARTS, 0.0) | {"forget_truth_ratio": 1.0}), 12)
    1.0

    Raises:
        MismatchError: A part is missing or unknown.
    """
    _require_parts(parts, EFFICACY_PARTS, "forget efficacy")
    known = {**parts, "forget_truth_ratio": 1 - parts["forget_truth_ratio"]}
    return 1 - math.fsum(known.values()) / len(known)


def _require_parts(parts: Mapping[str, float], wanted: Sequence[str], whole: str) -> None:
    missing = [name for name in wanted if name not in parts]
    unknown = [name for name in parts if name not in wanted]
    if missing or unknown:
        raise MismatchError(
            f"`parts` must hold exactly the {len(wanted)} parts of {whole}. "
            f"Missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}. "
            "Evaluate the missing sets and leave the others out."
        )
