"""MUSE's last two numbers: how utility holds as requests grow (scalability), and as they follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.evaluators.base import Evaluation
from unlearnkit.metrics.functional import OverRequests, over_requests

UTILITY = "retain_knowmem"
"""What MUSE follows over requests."""

_FACTS = ("format", "tokenizer_hash", "corpus", "prompts_hash", "n")


def scalability(evaluations: Sequence[Evaluation], key: str = UTILITY) -> OverRequests:
    """Return a number over requests of growing size (``scal_1`` ...), its slope per document to be forgotten.

    Args:
        evaluations: What ``MUSEEvaluator`` made of the model that forgot each request, each from the same target.
        key: Which number of the summary; MUSE looks at utility.

    Raises:
        DataError: Fewer than two evaluations, a number is missing, or the requests do not grow.
        MismatchError: The evaluations are not comparable.
    """
    values = _values(evaluations, key)
    sizes = [int(found["comparability"]["forget_documents"]) for found in evaluations]
    if sizes != sorted(set(sizes)):
        raise DataError(
            f"`evaluations` must be of requests that grow. Found {sizes} documents. Sort them, one for each "
            "of scal_1, scal_2 and so on."
        )
    return over_requests(values, sizes)


def sustainability(evaluations: Sequence[Evaluation], key: str = UTILITY) -> OverRequests:
    """Return a number over requests that follow each other (``sust_1`` ...), its slope per request.

    Args:
        evaluations: What ``MUSEEvaluator`` made of the model after each request, which started from the one before.
        key: Which number of the summary; MUSE looks at utility.

    Raises:
        DataError: Fewer than two evaluations, a number is missing, or the requests are not in their order.
        MismatchError: The evaluations are not comparable.
    """
    values = _values(evaluations, key)
    names = [str(found["comparability"]["request"]) for found in evaluations]
    wanted = [f"sust_{number}" for number in range(1, len(names) + 1)]
    if names != wanted:
        raise DataError(
            f"`evaluations` must be of {', '.join(wanted)} in this order. Found {', '.join(names)}. Evaluate with "
            "--data.forget=sust_1, then with sust_2 from the model so made, and so on."
        )
    return over_requests(values)


def _values(evaluations: Sequence[Evaluation], key: str) -> list[float]:
    """Return the number of each evaluation, refusing what cannot be compared."""
    for found in evaluations:
        _require(found, evaluations[0])
    values: list[Any] = [found["summary"].get(key) for found in evaluations]
    missing = [place for place, value in enumerate(values) if value is None]
    if missing:
        raise DataError(
            f"`key` must be a number that each evaluation has. Found none of {key!r} in number {missing[0]}. Evaluate "
            "with what it needs (privleak: a reference), or choose another."
        )
    return values


def _require(evaluation: Evaluation, first: Evaluation) -> None:
    facts = [
        {"benchmark": one.get("benchmark"), **{k: one["comparability"].get(k) for k in _FACTS}}
        for one in (evaluation, first)
    ]
    for key, wanted in facts[1].items():
        if facts[0][key] != wanted:
            raise MismatchError(
                f"`evaluations` must have the same {key} as the first one, {wanted!r}. Found {facts[0][key]!r}. "
                "Evaluate all with one tokenizer, one corpus and the same rows."
            )
