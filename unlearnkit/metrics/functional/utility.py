"""Model utility: the harmonic mean of nine numbers, so that one lost ability shows.

TOFU (Maini et al. 2024): {probability, ROUGE-L recall, truth ratio} x {retain, real authors, world facts},
with the probability of the last two normalised over the choices and the truth ratio mean max(0, 1 - R).
Direction: up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unlearnkit.errors import DataError, MismatchError, NonFiniteError

UTILITY_PARTS: tuple[str, ...] = tuple(
    f"{split}_{metric}"
    for split in ("retain", "real_authors", "world_facts")
    for metric in ("probability", "rouge", "truth_ratio")
)
"""Names of the nine parts, in the order in which tables print them."""


@dataclass(frozen=True)
class UtilityResult:
    """A harmonic mean, and what it is the mean of.

    Attributes:
        value: In [0, 1]; 0 when any part is 0.
        n: Number of parts (9 for TOFU's model utility).
        parts: The parts by name.
    """

    value: float
    n: int
    parts: dict[str, float]


def partial_utility(parts: Mapping[str, float]) -> UtilityResult:
    """Return the harmonic mean of the parts that are given; compare only results with the same parts.

    >>> partial_utility({"retain_probability": 1.0, "retain_rouge": 0.5}).value
    0.6666666666666666

    Raises:
        DataError: No parts, or a negative one.
        NonFiniteError: A part is NaN or infinite.
    """
    if not parts:
        raise DataError("`parts` must hold at least one number. Found none. Pass the metrics by name.")
    for name, value in parts.items():
        if not math.isfinite(value):
            raise NonFiniteError(
                f"`parts[{name!r}]` must be finite. Found {value}. Compute it with unlearnkit.metrics, "
                "where failed rows score 0 and are counted."
            )
        if value < 0:
            raise DataError(f"`parts[{name!r}]` must be >= 0. Found {value}. Pass rates between 0 and 1.")
    values = list(parts.values())
    # A part below 1/float_max has an infinite inverse; the mean is then 0 to double precision as well.
    mean = 0.0 if min(values) < 1e-300 else len(values) / math.fsum(1.0 / value for value in values)
    return UtilityResult(mean, len(values), {name: float(value) for name, value in parts.items()})


def model_utility(parts: Mapping[str, float]) -> UtilityResult:
    """Return TOFU's model utility from exactly the nine parts named in ``UTILITY_PARTS``.

    >>> model_utility(dict.fromkeys(UTILITY_PARTS, 0.5)).value
    0.5

    Raises:
        MismatchError: A part is missing or unknown.
        DataError: A part is negative.
        NonFiniteError: A part is NaN or infinite.
    """
    missing = [name for name in UTILITY_PARTS if name not in parts]
    unknown = [name for name in parts if name not in UTILITY_PARTS]
    if missing or unknown:
        raise MismatchError(
            "`parts` must hold exactly the nine parts of model utility. "
            f"Missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}. "
            "Use partial_utility for another set of parts."
        )
    return partial_utility({name: parts[name] for name in UTILITY_PARTS})
