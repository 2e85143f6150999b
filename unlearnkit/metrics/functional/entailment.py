"""Does one text say what another says? A lexical proxy that needs no download, and closer-look's rule around a judge.

Closer-look (Yuan et al. 2024) asks a network for natural language inference. Without that network the proxy stands in
for it, under its own name: it counts words, so it is fooled by word order and synonyms.
Direction: up on the retain set; on the forget set near the retrained reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from unlearnkit.errors import MismatchError
from unlearnkit.metrics.functional.text import rouge_l_recall, rouge_tokens

Pairs = Sequence[tuple[str, str]]
"""Premise and hypothesis."""

ROUGE_FLOOR = 0.1
"""ROUGE-L recall below which closer-look calls a generation wrong, whatever the judge says."""

_ENOUGH = 0.8
_DENIAL = re.compile(r"\b(?:not|no|never|nor|neither|without|unable)\b", re.IGNORECASE)
_SHORT = {r"\bcan(?:['’]t|not)\b": "can not", r"\bwon['’]t\b": "will not", r"n['’]t\b": " not"}
_EMPTY = frozenset(
    re.findall(
        r"\w+",  # as stems
        "a an the of in on at to for from by with and or as is are was were be been it its thi that these those he she "
        "they his her their him them i you we my your our who which what when where has have had do doe did not no nor "
        "am can could will would s m re ll ve",
    )
)


def lexical_entailment(premise: str, hypothesis: str) -> bool:
    """Tell whether the premise has the hypothesis's words: at least 80 % of its stems, every number, same denial.

    Function words do not count. A hypothesis without any other word is entailed by no premise.

    >>> fact = "The author was born in Lagos in 1970."
    >>> lexical_entailment("In 1970 this author was born in the town of Lagos.", fact)
    True
    >>> lexical_entailment("The author was born in Lagos in 1971.", fact)
    False
    >>> lexical_entailment("The author was not born in Lagos in 1970.", fact)
    False
    """
    for short, long in _SHORT.items():
        premise, hypothesis = (
            re.sub(short, long, text, flags=re.IGNORECASE) for text in (premise, hypothesis)
        )
    if bool(_DENIAL.search(premise)) != bool(_DENIAL.search(hypothesis)):
        return False
    held, wanted = set(rouge_tokens(premise)), set(rouge_tokens(hypothesis)) - _EMPTY
    if not wanted or any(word.isdigit() and word not in held for word in wanted):
        return False
    return len(wanted & held) >= _ENOUGH * len(wanted)


def lexical_judge(pairs: Pairs) -> list[bool]:
    """Return ``lexical_entailment`` of each pair.

    >>> lexical_judge([("born in Lagos", "Lagos"), ("Rome", "Lagos")])
    [True, False]
    """
    return [lexical_entailment(premise, hypothesis) for premise, hypothesis in pairs]


def entailed(
    generations: Sequence[str],
    truths: Sequence[str],
    judge: Callable[[Pairs], Sequence[bool]] = lexical_judge,
    *,
    generation_first: bool,
) -> list[bool]:
    """Return, for each row, whether generation and truth entail as closer-look asks.

    Args:
        generations: What the model says.
        truths: What it is compared with: the answer, or a refusal.
        judge: Says of (premise, hypothesis) pairs whether one follows.
        generation_first: Whether the generation is the premise, as on the forget set and for refusals; on TOFU's
            other sets the truth is.

    Returns:
        False where the ROUGE-L recall of the generation against the truth is below 0.1, without asking the judge.

    >>> entailed(["born in Lagos", "Rome"], ["Lagos", "Lagos"], generation_first=True)
    [True, False]

    Raises:
        MismatchError: Not as many generations as truths.
    """
    if len(generations) != len(truths):
        raise MismatchError(
            f"`generations` must have one text for each of `truths`. Found {len(generations)} for {len(truths)}. "
            "Pass the texts of the same rows in the same order."
        )
    rows = list(zip(generations, truths, strict=True))
    asked = [place for place, (text, truth) in enumerate(rows) if rouge_l_recall(text, truth) >= ROUGE_FLOOR]
    found = [False] * len(rows)
    answers = judge([rows[place] if generation_first else rows[place][::-1] for place in asked])
    for place, answer in zip(asked, answers, strict=True):
        found[place] = bool(answer)
    return found
