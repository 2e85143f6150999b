"""Forget quality: could these truth ratios be the retrained model's? An exact two-sample KS test.

TOFU (Maini et al. 2024): the p-value of the two-sided Kolmogorov-Smirnov test between the per-row truth
ratios of the unlearned and of the retrained model on the same forget rows. It is invariant under monotone
maps, so log R serves. Direction: up. 1 means that no difference was found, not that there is none; the
power depends on n, so every report states n and the floor.

For equal n, P(D >= h/n) = 2 sum_{i>=1} (-1)^(i+1) C(2n, n-ih) / C(2n, n) (Gnedenko and Korolyuk 1951), here
in exact integers: no switch to an asymptotic formula, and log10 p is right where p itself underflows.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from unlearnkit.errors import DataError, MismatchError


@dataclass(frozen=True)
class KSResult:
    """Outcome of the exact two-sided two-sample KS test.

    Attributes:
        statistic: D, the largest distance between the two empirical distribution functions, in [0, 1].
        p: Exact p-value (0.0 where it is below the smallest double: read ``log10_p``).
        log10_p: Its decimal logarithm, always finite.
        n: Rows of the first sample.
        n_reference: Rows of the reference sample.
        log10_floor: log10 of the least p that these n allow (D = 1), 2 / C(n + n_reference, n).
    """

    statistic: float
    p: float
    log10_p: float
    n: int
    n_reference: int
    log10_floor: float


def ks_log10_floor(n: int, n_reference: int | None = None) -> float:
    """Return log10 of the smallest p-value that samples of these sizes can give, 2 / C(n + m, n).

    >>> round(ks_log10_floor(40), 4), round(ks_log10_floor(400), 4)
    (-22.7304, -238.9732)
    """
    m = n if n_reference is None else n_reference
    return math.log10(2) - math.log10(math.comb(n + m, n))


def _steps(first: Sequence[float], second: Sequence[float]) -> int:
    """Return D in units of 1 / lcm(n, m), exactly; ties count at the value itself."""
    a, b = sorted(first), sorted(second)
    common = math.gcd(len(a), len(b))
    n, m = len(a) // common, len(b) // common
    return max(abs(bisect_right(a, x) * m - bisect_right(b, x) * n) for x in {*a, *b})


def _tail(n: int, m: int, h: int) -> Fraction:
    """Return P(D >= h / lcm(n, m)) under the null hypothesis, exactly."""
    if h == 0:
        return Fraction(1)
    return _tail_equal(n, h) if n == m else _tail_unequal(n, m, h)


def _tail_equal(n: int, h: int) -> Fraction:
    total = binomial = math.comb(2 * n, n)
    alternating = 0
    for j in range(1, n + 1):
        binomial = binomial * (n - j + 1) // (n + j)  # C(2n, n - j)
        if j % h == 0:
            alternating += binomial if (j // h) % 2 else -binomial
    return Fraction(2 * alternating, total)


def _tail_unequal(n: int, m: int, h: int) -> Fraction:
    """Count the lattice paths from (0, 0) to (n, m) that stay inside the band |i m - j n| / gcd < h."""
    common = math.gcd(n, m)
    columns = [i * (m // common) for i in range(n + 1)]
    row = [1 if column < h else 0 for column in columns]
    for j in range(1, m + 1):
        centre = j * (n // common)
        low, high = bisect_right(columns, centre - h), bisect_left(columns, centre + h)
        row = [0] * low + list(accumulate(row[low:high])) + [0] * (n + 1 - high)
    total = math.comb(n + m, n)
    return Fraction(total - row[n], total)


def ks_exact(sample: Sequence[float], reference: Sequence[float], *, allow_unequal: bool = False) -> KSResult:
    """Run the exact two-sided two-sample KS test.

    The p-value assumes continuous samples; ties make it conservative.

    Args:
        sample: One number a row; infinite values are allowed and are the largest or smallest.
        reference: One number a row, of the retrained model.
        allow_unequal: Accept samples of different size; the test is then exact by counting paths, slower.

    >>> result = ks_exact([1.0, 2.0, 3.0, 4.0], [2.5, 3.5, 4.5, 5.5])
    >>> result.statistic, round(result.p, 6), round(10**result.log10_floor, 6)
    (0.5, 0.771429, 0.028571)

    Raises:
        DataError: A sample has fewer than two rows or holds NaN.
        MismatchError: The sizes differ and ``allow_unequal`` is False.
    """
    sample, reference = [float(x) for x in sample], [float(x) for x in reference]
    for name, values in (("sample", sample), ("reference", reference)):
        if len(values) < 2:
            raise DataError(f"`{name}` must hold at least 2 rows. Found {len(values)}. Evaluate more rows.")
        if any(math.isnan(value) for value in values):
            raise DataError(
                f"`{name}` must not hold NaN. Found one. `log_truth_ratio` maps failed rows to +inf."
            )
    n, m = len(sample), len(reference)
    if n != m and not allow_unequal:
        raise MismatchError(
            f"`reference` must have as many rows as `sample`. Found {m} for {n}. Evaluate both models on the "
            "same forget rows, or pass allow_unequal=True."
        )
    h = _steps(sample, reference)
    tail = _tail(n, m, h)
    p = float(tail)
    return KSResult(
        statistic=h / math.lcm(n, m),
        p=p,
        # The difference of two long logarithms is only needed, and only accurate enough, far from 1.
        log10_p=math.log10(p) if p > 1e-300 else math.log10(tail.numerator) - math.log10(tail.denominator),
        n=n,
        n_reference=m,
        log10_floor=ks_log10_floor(n, m),
    )


def forget_quality(log_r: Sequence[float], log_r_reference: Sequence[float]) -> KSResult:
    """Return TOFU's forget quality from the two models' log truth ratios on the same forget rows. Up.

    >>> forget_quality([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]).p
    1.0

    Raises:
        DataError: Fewer than two rows, or NaN.
        MismatchError: The two models were evaluated on different numbers of rows.
    """
    return ks_exact(log_r, log_r_reference)
