"""TOFU's aggregates from per-row values: nothing here sees a model, so a written evaluation can be redone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from unlearnkit.evaluators.answers import Columns
from unlearnkit.evaluators.tofu_definitions import utility_parts
from unlearnkit.evaluators.tofu_texts import set_texts, text_summary
from unlearnkit.metrics.functional import (
    TruthRatioMean,
    forget_quality,
    forget_truth_ratio,
    log_truth_ratio,
    normalised_probability,
    paper_truth_ratio,
    partial_utility,
    probability,
    retain_truth_ratio,
)

MEANS: dict[TruthRatioMean, str] = {"geometric": "", "arithmetic": "_arithmetic"}
"""The two definitions of the truth ratio, and how names end that use them."""

_CHOICES = ("real_authors", "world_facts")


def _losses(values: Sequence[float | None]) -> list[float]:
    # A written evaluation holds null where a loss was not finite.
    return [math.nan if value is None else value for value in values]


def _compared(rows: Columns) -> tuple[list[float], list[list[float]]]:
    """Return right and wrong losses of the rows that have wrong answers."""
    places = [place for place, wrong in enumerate(rows["perturbed_mean_nll"]) if wrong]
    right = _losses([rows["paraphrase_mean_nll"][place] for place in places])
    return right, [_losses(rows["perturbed_mean_nll"][place]) for place in places]


def non_finite(rows: Columns) -> int:
    """Return the number of rows with a loss that is NaN or infinite."""
    whole = zip(rows["mean_nll"], rows["paraphrase_mean_nll"], rows["perturbed_mean_nll"], strict=True)
    return sum(
        not all(math.isfinite(loss) for loss in _losses([own, *([right] if wrong else []), *wrong]))
        for own, right, wrong in whole
    )


def set_summary(name: str, rows: Columns) -> dict[str, float | None]:
    """Return the numbers of one set, without its name before them."""
    own, tokens = _losses(rows["mean_nll"]), rows["tokens"]
    right, wrong = _compared(rows)
    facts = [fact for fact in rows["fact"] if fact is not None]
    loss = math.fsum(mean * n for mean, n in zip(own, tokens, strict=True)) / sum(tokens)
    share = probability(own)
    if name in _CHOICES:
        share = normalised_probability(own, wrong) if len(wrong) == len(own) else share[:0]
    found: dict[str, float | None] = {
        "loss": loss if math.isfinite(loss) else None,
        "rouge": math.fsum(rows["rouge"]) / len(own),
        "fact": sum(facts) / len(facts) if facts else None,
        "probability": float(share.mean()) if len(share) else None,
    }
    # Evaluations written by earlier versions have neither.
    for key in ("exact_memorisation", "extraction_strength"):
        if key in rows:
            found[key] = math.fsum(rows[key]) / len(own)
    aggregate = forget_truth_ratio if name == "forget" else retain_truth_ratio
    for mean, suffix in MEANS.items():
        found[f"truth_ratio{suffix}"] = aggregate(right, wrong, mean).value if right else None
    return found | set_texts(rows)


def summarise(
    per_sample: Mapping[str, Columns],
) -> tuple[dict[str, float | int | None], dict[str, list[str]]]:
    """Return all numbers that need no reference, and the parts that utility and capability are the means of."""
    summary: dict[str, float | int | None] = {}
    for name, rows in per_sample.items():
        summary |= {f"{name}_{key}": value for key, value in set_summary(name, rows).items()}
    parts: dict[str, float] = {}
    for suffix in MEANS.values():
        keys = utility_parts(arithmetic=bool(suffix))
        parts = {part: summary[key] for part, key in keys.items() if summary.get(key) is not None}  # type: ignore[misc]
        summary[f"model_utility{suffix}"] = partial_utility(parts).value if parts else None
    summary["verbmem"] = summary.get("forget_rouge")
    summary["utility"] = summary.get("retain_rouge")
    right, wrong = _compared(per_sample["retain"]) if "retain" in per_sample else ([], [])
    summary["paper_truth_ratio"] = paper_truth_ratio(right, wrong).value if right else None
    summary["non_finite"] = sum(non_finite(rows) for rows in per_sample.values())
    whole = {"utility_parts": list(parts)}
    if any("token_entropy" in rows for rows in per_sample.values()):
        texts, whole["capability_parts"] = text_summary(summary)
        summary |= texts
    return summary, whole


def quality_tests(forget: Columns, reference: Columns) -> dict[str, dict[str, Any]]:
    """Return the exact KS test between two models' truth ratios on the forget rows, for both definitions."""
    return {
        mean: asdict(
            forget_quality(
                log_truth_ratio(*_compared(forget), mean).tolist(),
                log_truth_ratio(*_compared(reference), mean).tolist(),
            )
        )
        for mean in MEANS
    }
