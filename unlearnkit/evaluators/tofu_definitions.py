"""What each number of a TOFU evaluation is, by name, and which direction is better."""

from __future__ import annotations

from typing import Literal

from unlearnkit.metrics.functional import UTILITY_PARTS

Better = bool | Literal["near reference"]
"""True: higher is better; False: lower is; else nearer to the retrained reference's value."""

SETS = ("forget", "retain", "real_authors", "world_facts")
"""The evaluation sets of TOFU."""

_R = "R = P_wrong / P_right a row, P_right of the paraphrase (of the answer where there is none)"

DEFINITIONS: dict[str, str] = {
    "loss": "negative log-likelihood of the answers, nats, mean over all their tokens, EOS included",
    "rouge": "ROUGE-L recall, Porter stemmer, greedy generation against the answer, mean over rows",
    "fact": "share of rows whose generation holds the named value (else all capitalised words and numbers of the "
    "answer that the question does not give away); rows without a fact are left out",
    "probability": "mean over rows of P = exp(-mean nll a token, EOS included); for real authors and world facts "
    "P / (P + sum of P over the wrong answers)",
    "truth_ratio": f"{_R}; P_wrong = geometric mean over the wrong answers (TOFU's aggregation code); "
    "mean of max(0, 1 - R), on the forget set mean of min(R, 1/R)",
    "truth_ratio_arithmetic": "as truth_ratio, P_wrong = arithmetic mean over the wrong answers (TOFU's paper)",
    "model_utility": "harmonic mean of the parts in comparability.utility_parts: all nine of TOFU (probability, rouge, "
    "truth_ratio of retain, real authors, world facts), or those that could be evaluated",
    "model_utility_arithmetic": "as model_utility, from truth_ratio_arithmetic",
    "forget_quality": "p-value of the exact two-sided two-sample Kolmogorov-Smirnov test between the R (geometric) of "
    "this model and of the reference on the same forget rows; n and floor under forget_quality_tests",
    "forget_quality_arithmetic": "as forget_quality, R with the arithmetic mean",
    "forget_quality_log10": "log10 of forget_quality, finite also where that is below the smallest double",
    "verbmem": "paper 001's Verbmem on TOFU: forget_rouge (the prompt is the question)",
    "utility": "paper 001's Utility on TOFU: retain_rouge",
    "paper_truth_ratio": "paper 001's TruthRatio, derived (the paper gives no formula): mean of max(0, 1 - R), "
    "geometric, on the retain rows with perturbed answers",
    "non_finite": "rows in which some negative log-likelihood is NaN or infinite; they count with the worst value "
    "(probability 0, R infinite)",
    "max_new_tokens": "longest answer of all evaluation sets in tokens plus a quarter, unless given; TOFU's own code "
    "and open-unlearning use 200 (max_new_tokens=200 for parity)",
}
"""One line on each metric; a set's name before it says on which rows."""


def higher_is_better(name: str) -> Better:
    """Return the direction of a number of the summary.

    >>> higher_is_better("retain_rouge"), higher_is_better("retain_loss"), higher_is_better("forget_truth_ratio")
    (True, False, 'near reference')
    """
    if name.startswith("forget_") and not name.startswith("forget_quality"):
        return "near reference"
    # Paper 001 wants Verbmem as low as it gets.
    return not (name.endswith("_loss") or name in ("verbmem", "non_finite"))


def utility_parts(arithmetic: bool = False) -> dict[str, str]:
    """Return the key in the summary of each part of model utility.

    >>> utility_parts(arithmetic=True)["retain_truth_ratio"]
    'retain_truth_ratio_arithmetic'
    """
    suffix = "_arithmetic" if arithmetic else ""
    return {part: part + (suffix if part.endswith("truth_ratio") else "") for part in UTILITY_PARTS}
