"""What log-likelihoods of two responses to the same prompts say: accuracy, DPO's margin, the hallucination proxy.

Arguments are ``[rows]`` sums of log-probabilities over a response's tokens, nats, or means where so said.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional.memorisation import Values


def preference_wins(preferred: Values, other: Values) -> Tensor:
    """Return 1 where the preferred response is likelier, 0.5 where both are equal, else 0, [rows] float64.

    A row with a log-likelihood that is NaN counts as 0: a model that diverged prefers nothing.

    Raises:
        MismatchError: Unequal numbers of rows.

    >>> preference_wins([-1.0, -2.0, -3.0], [-2.0, -2.0, -1.0]).tolist()
    [1.0, 0.5, 0.0]
    """
    first, second = _pair(preferred, other)
    return (first > second).double() + 0.5 * (first == second).double()


def preference_accuracy(preferred: Values, other: Values) -> float:
    """Return the share of rows whose preferred response is likelier; a tie is half. Up.

    Raises:
        DataError: There are no rows.
        MismatchError: Unequal numbers of rows.

    >>> preference_accuracy([-1.0, -2.0], [-2.0, -1.0])
    0.5
    """
    return float(_some(preference_wins(preferred, other)).mean())


def hallucination_proxy(right: Values, hallucinated: Values) -> float:
    """Return P(log p(hallucinated) > log p(right)), a tie being half: a hallucination rate without a judge. Down.

    Of sums, it favours the shorter response; of means over tokens, it does not. A row with a NaN counts as 1.

    Raises:
        DataError: There are no rows.
        MismatchError: Unequal numbers of rows.

    >>> hallucination_proxy(right=[-1.0, -2.0, -3.0, -4.0], hallucinated=[-2.0, -1.0, -4.0, -5.0])
    0.25
    """
    return 1.0 - preference_accuracy(right, hallucinated)


def preference_margins(
    chosen: Values, rejected: Values, chosen_start: Values, rejected_start: Values, beta: float = 0.1
) -> Tensor:
    """Return DPO's margins ``beta [(log p/p* of chosen) - (log p/p* of rejected)]``, [rows] float64.

    Args:
        chosen: Of the model.
        rejected: Of the model.
        chosen_start: Of the model that it started from.
        rejected_start: Of that model.
        beta: DPO's.

    Raises:
        MismatchError: Unequal numbers of rows.

    >>> preference_margins([-1.0], [-5.0], [-2.0], [-2.0], beta=0.5).tolist()
    [2.0]
    """
    won, lost = _pair(chosen, rejected)
    won_start, lost_start = _pair(chosen_start, rejected_start)
    gained, dropped = _pair(won, won_start), _pair(lost, lost_start)
    return beta * ((gained[0] - gained[1]) - (dropped[0] - dropped[1]))


def _pair(first: Values, second: Values) -> tuple[Tensor, Tensor]:
    one, two = (torch.as_tensor(values, dtype=torch.float64) for values in (first, second))
    if one.shape != two.shape:
        raise MismatchError(
            "`preferred` and `other` must have one number for each of the same rows. Found shapes "
            f"{tuple(one.shape)} and {tuple(two.shape)}. Score both responses of every row."
        )
    return one, two


def _some(rows: Tensor) -> Tensor:
    if not len(rows):
        raise DataError("`preferred` must hold at least one row. Found none. Score some rows.")
    return rows
