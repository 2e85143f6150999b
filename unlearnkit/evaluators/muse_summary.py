"""MUSE's aggregates from per-row values: nothing here sees a model, so a written evaluation can be redone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.evaluators.answers import Columns
from unlearnkit.evaluators.muse_definitions import SETS, TEXTS
from unlearnkit.metrics.functional import attack_auc, muse_privleak, privleak

Summary = dict[str, float | int | None]

_AREAS = {"auc_min_k": "min_k", "auc_min_k_ou": "min_k_ou"}
"""Each area and the column it is made from."""


def summarise(per_sample: Mapping[str, Columns]) -> Summary:
    """Return all numbers that need no reference."""
    summary: Summary = {}
    for name in SETS:
        key = "forget_verbmem" if name == "verbmem" else name
        summary[key] = _mean(per_sample[name]["rouge_l_f"])
        summary[f"{key}_ou"] = _mean(per_sample[name]["rouge_l_f_ou"])
    for key, name in zip(("verbmem", "knowmem", "utility"), SETS, strict=True):
        summary[key] = _mean(per_sample[name]["rouge_l_recall"])
    for key, column in _AREAS.items():
        area = attack_auc(
            *(_scores(per_sample[f"privleak_{part}"], column) for part in ("forget", "holdout"))
        )
        summary[key] = area if math.isfinite(area) else None
    for name in TEXTS:
        summary[f"{name.removeprefix('privleak_')}_loss"] = _loss(per_sample[name])
    summary["non_finite"] = sum(
        not math.isfinite(loss) for name in TEXTS for loss in _scores(per_sample[name], "mean_nll")
    )
    return summary


def leaks(
    summary: Mapping[str, Any], reference: Mapping[str, Any] | None, published_area: float | None
) -> Summary:
    """Return privacy leakage in its three definitions; None for what cannot be had.

    Args:
        summary: Of the model at hand.
        reference: Of the retrained model.
        published_area: The area that MUSE's code holds for this corpus; None where it has none.
    """
    auc, auc_ou = summary["auc_min_k"], summary["auc_min_k_ou"]
    retrained = None if reference is None else reference["auc_min_k"]
    retrained_ou = 0.5 if reference is None else reference["auc_min_k_ou"]
    found: Summary = {"privleak": None, "privleak_ou": None, "privleak_published": None}
    if auc is not None and retrained is not None:
        leak = muse_privleak(1 - auc, 1 - retrained)
        found["privleak"] = leak if math.isfinite(leak) else None
    if auc is not None and published_area is not None:
        found["privleak_published"] = muse_privleak(1 - auc, published_area)
    if auc_ou is not None and retrained_ou is not None:
        found["privleak_ou"] = privleak(auc_ou, retrained_ou)
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _scores(rows: Columns, column: str) -> list[float]:
    # A written evaluation holds null where a score was not finite.
    return [math.nan if value is None else value for value in rows[column]]


def _loss(rows: Columns) -> float | None:
    pairs = zip(_scores(rows, "mean_nll"), rows["tokens"], strict=True)
    loss = math.fsum(mean * n for mean, n in pairs) / sum(rows["tokens"])
    return loss if math.isfinite(loss) else None
