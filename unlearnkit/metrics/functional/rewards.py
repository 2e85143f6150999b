"""Rewards of responses by any callable, checked: the paper's Reward-V is their mean (paper 004, E.2). Up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from unlearnkit.errors import DataError, MismatchError, NonFiniteError

Reward = Callable[[Sequence[str], Sequence[str]], Any]
"""Maps prompts and responses to one number each, or to one list of numbers each (one a token)."""


def response_rewards(reward: Reward, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Return one number a response; the numbers of a response's tokens are summed.

    Args:
        reward: The reward.
        prompts: The prompts.
        responses: One response each.

    Raises:
        MismatchError: Not as many prompts as responses, or the reward returns another number of values.
        NonFiniteError: A reward is NaN or infinite.
        DataError: A reward is no number.

    >>> response_rewards(lambda prompts, responses: [len(text) for text in responses], ["a", "b"], ["x", "yes"])
    [1.0, 3.0]
    >>> response_rewards(lambda prompts, responses: [[0.5, 1.0], []], ["a", "b"], ["x y", ""])
    [1.5, 0.0]
    """
    if len(prompts) != len(responses):
        raise MismatchError(
            f"`responses` must have one text for each of `prompts`. Found {len(responses)} for {len(prompts)}. "
            "Pass the responses to the same prompts in the same order."
        )
    if not prompts:
        return []
    found = reward(list(prompts), list(responses))
    values = found.tolist() if hasattr(found, "tolist") else found
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(responses):
        size = (
            len(values)
            if isinstance(values, Sequence) and not isinstance(values, str)
            else type(values).__name__
        )
        raise MismatchError(
            f"`reward` must return one value for each of the {len(responses)} responses. Found {size}. "
            "Return a list in their order."
        )
    return [_number(value, place, responses[place]) for place, value in enumerate(values)]


def _number(value: Any, place: int, response: str) -> float:
    value = value.tolist() if hasattr(value, "tolist") else value
    try:
        total = math.fsum(value) if isinstance(value, Sequence) else float(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"`reward` must return numbers, or lists of them. Found {value!r} for response {place} "
            f"({response[:40]!r}). Return floats."
        ) from error
    except OverflowError:
        total = math.inf
    if not math.isfinite(total):
        raise NonFiniteError(
            f"`reward` must return finite numbers. Found {total} for response {place} ({response[:40]!r}). Give empty "
            "or odd responses a number of their own."
        )
    return total
