"""Perplexity, exp of the mean negative log-likelihood a token. Down, for the same texts under the same model.

A model's own perplexity of what it says is low where it repeats itself; another model's perplexity of the same texts is
not. So the two have names of their own, and there is no bare "PPL".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unlearnkit.errors import DataError, MismatchError


def perplexity(nll: Sequence[float], tokens: Sequence[int]) -> float:
    """Return exp(sum of nll / sum of tokens); NaN or infinite where a likelihood is.

    Args:
        nll: Negative log-likelihood of each text, nats.
        tokens: How many tokens each sum runs over.

    Raises:
        MismatchError: Unequal numbers of texts.
        DataError: There are no tokens.

    >>> round(perplexity([0.0, 4 * math.log(2)], [4, 4]), 6)
    1.414214
    """
    if len(nll) != len(tokens):
        raise MismatchError(
            f"`tokens` must have one number for each of `nll`. Found {len(tokens)} for {len(nll)}. Pass the same texts."
        )
    if not sum(tokens):
        raise DataError("`tokens` must hold at least one token. Found none. Score some texts.")
    return exp(math.fsum(nll) / sum(tokens) if all(map(math.isfinite, nll)) else math.nan)


def exp(mean_nll: float) -> float:
    """Return exp of a mean negative log-likelihood, infinity where no double holds it.

    >>> exp(0.0), exp(1e4)
    (1.0, inf)
    """
    try:
        return math.exp(mean_nll)
    except OverflowError:
        return math.inf
