"""Closer-look's look at generations: token entropy, similarity, entailment; and paper 002's refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from unlearnkit.evaluators.answers import Columns
from unlearnkit.metrics.encoders import Judge, Similarity
from unlearnkit.metrics.functional import (
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    entailed,
    forget_efficacy,
    overall_score,
    partial_utility,
    targeted_forget_efficacy,
    token_entropy,
)

Number = float | int | None


def text_columns(
    name: str,
    rows: Columns,
    *,
    tokenize: Callable[[str], list[str]],
    similarity: Similarity,
    judge: Judge,
    generation_first: bool,
    refusals: Sequence[str] = (),
) -> Columns:
    """Return the columns that closer-look adds to a set's.

    Args:
        name: The set.
        rows: Its columns, or some rows of them.
        tokenize: The model's tokenizer, from text to tokens.
        similarity: Compares generation and answer.
        judge: Says whether one entails the other.
        generation_first: Whether the generation is to entail the answer; else the answer the generation.
        refusals: Answers that refuse; a forget row is set against one of them, the same in every evaluation. A
            judge by wording would find hardly any two of them alike: for it, the row is set against one that its
            generation entails, where there is one.
    """
    generations, answers = rows["generation"], rows["answer"]
    found: Columns = {
        "token_entropy": [token_entropy(tokenize(text)) for text in generations],
        "similarity": list(similarity(list(zip(generations, answers, strict=True)))),
        "entailed": entailed(generations, answers, judge, generation_first=generation_first),
    }
    if name == "forget" and refusals:
        # A string seed goes through SHA-512: the same on every machine.
        drawn = [Random(f"refusal {index}").choice(refusals) for index in rows["index"]]
        if judge.by_wording:
            said = {text: _refusal_in(text, refusals, judge) for text in dict.fromkeys(generations)}
            drawn = [said[text] or refusal for text, refusal in zip(generations, drawn, strict=True)]
        found["refusal"] = drawn
        found["refusal_entailed"] = entailed(generations, drawn, judge, generation_first=True)
    return found


def _refusal_in(generation: str, refusals: Sequence[str], judge: Judge) -> str | None:
    """Return the first refusal that a generation entails, or None."""
    answers = entailed([generation] * len(refusals), refusals, judge, generation_first=True)
    return next((refusal for refusal, answer in zip(refusals, answers, strict=True) if answer), None)


def set_texts(rows: Columns) -> dict[str, Number]:
    """Return the means of the added columns, where they were added."""
    names = {
        "token_entropy": "token_entropy",
        "similarity": "similarity",
        "entailed": "entailment",
        "refusal_entailed": "refusal_entailment",
    }
    return {key: sum(rows[column]) / len(rows[column]) for column, key in names.items() if column in rows}


def text_summary(summary: Mapping[str, Number]) -> tuple[dict[str, Number], list[str]]:
    """Return closer-look's and paper 002's aggregates, and the parts that model capability is the mean of.

    Args:
        summary: The numbers of the sets.

    Returns:
        ``model_capability``, ``forget_efficacy``, ``targeted_forget_efficacy``, ``overall`` and ``overall_targeted``,
        None for what cannot be had; and the names of the capability's parts.
    """
    sets = [name for name in ("retain", "real_authors", "world_facts") if f"{name}_token_entropy" in summary]
    wanted = [part for part in CAPABILITY_PARTS if part.startswith(tuple(sets))] if sets else []
    parts = _known(summary, wanted)
    # Half a set of numbers would be another metric; whole sets that are missing are named.
    capability = partial_utility(parts).value if wanted and len(parts) == len(wanted) else None
    forgotten = _known(summary, EFFICACY_PARTS)
    untargeted = forget_efficacy(forgotten) if len(forgotten) == len(EFFICACY_PARTS) else None
    refused = _known(summary, ("forget_token_entropy", "forget_refusal_entailment"))
    targeted = targeted_forget_efficacy(*refused.values()) if len(refused) == 2 else None
    found: dict[str, Number] = {
        "model_capability": capability,
        "forget_efficacy": untargeted,
        "targeted_forget_efficacy": targeted,
        "overall": None,
        "overall_targeted": None,
    }
    if capability is not None and untargeted is not None:
        found["overall"] = overall_score(capability, untargeted)
        if targeted is not None:
            found["overall_targeted"] = overall_score(capability, untargeted, targeted)
    return found, list(parts) if capability is not None else []


def _known(summary: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    return {name: summary[name] for name in names if summary.get(name) is not None}
