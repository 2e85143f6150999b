"""What each number of a TOFU evaluation is, by name, and which direction is better."""

from __future__ import annotations

from typing import Literal

from unlearnkit.metrics.functional import UTILITY_PARTS

Better = bool | Literal["near reference"]
"""True: higher is better; False: lower is; else nearer to the retrained reference's value."""

SETS = ("forget", "retain", "real_authors", "world_facts")
"""The evaluation sets of TOFU."""

_MISSED = (
    "The proxy misses refusals in words of their own: beside the packaged list it knows 30 of TOFU's 100 for "
    "refusals; a network for entailment reads more than words"
)

_R = "R = P_wrong / P_right a row, P_right of the paraphrase (of the answer where there is none)"

DEFINITIONS: dict[str, str] = {
    "loss": "negative log-likelihood of the answers, nats, mean over all their tokens, EOS included",
    "rouge": "ROUGE-L recall, Porter stemmer, greedy generation against the answer, mean over rows",
    "fact": "share of rows whose generation holds the named value (else all capitalised words and numbers of the "
    "answer that the question does not give away); rows without a fact are left out",
    "probability": "mean over rows of P = exp(-mean nll a token, EOS included); for real authors and world facts P "
    "/ (P + sum of P over the wrong answers)",
    "truth_ratio": f"{_R}; P_wrong = geometric mean over the wrong answers (TOFU's aggregation code); mean of "
    "max(0, 1 - R), on the forget set mean of min(R, 1/R)",
    "truth_ratio_arithmetic": "as truth_ratio, P_wrong = arithmetic mean over the wrong answers (TOFU's paper)",
    "exact_memorisation": "share of the answer's tokens, EOS left out, that are the most likely next token after "
    "the true ones before them, mean over rows",
    "extraction_strength": "1 - k/n, the model giving back the whole answer of n tokens, EOS left out, once it has "
    "read k of them, mean over rows; 0 where the last token is missed, where open-unlearning has 1/n",
    "model_utility": "harmonic mean of the parts in comparability.utility_parts: all nine of TOFU (probability, "
    "rouge, truth_ratio of retain, real authors, world facts), or those that could be evaluated",
    "model_utility_arithmetic": "as model_utility, from truth_ratio_arithmetic",
    "forget_quality": "p-value of the exact two-sided two-sample Kolmogorov-Smirnov test between the R (geometric) "
    "of this model and of the reference on the same forget rows; n and floor under forget_quality_tests",
    "forget_quality_arithmetic": "as forget_quality, R with the arithmetic mean",
    "forget_quality_log10": "log10 of forget_quality, finite also where that is below the smallest double",
    "verbmem": "paper 001's Verbmem on TOFU: forget_rouge (the prompt is the question)",
    "utility": "paper 001's Utility on TOFU: retain_rouge",
    "paper_truth_ratio": "paper 001's TruthRatio, derived (the paper gives no formula): mean of max(0, 1 - R), "
    "geometric, on the retain rows with perturbed answers",
    "token_entropy": "closer-look: entropy of the generation's tokens over log n, 0 for fewer than two, mean over "
    "rows",
    "similarity": "closer-look: max(0, cosine) of generation and answer by the encoder that "
    "comparability.similarity names, mean over rows; closer-look itself takes longer answers for real authors and "
    "world facts",
    "entailment": "closer-look: share of rows in which, by the judge that comparability.entailment names, the "
    "generation entails the answer (forget; of people all sets) or the answer the generation (other sets); no where "
    "ROUGE-L recall is below 0.1",
    "refusal_entailment": "paper 002: share of forget rows whose generation entails the refusal drawn for that "
    "row, by the same judge and rule; by the lexical proxy, which takes refusals in other words for different, any "
    f"refusal of the list. {_MISSED}",
    "model_capability": "closer-look's model utility, paper 002's MC and MU: harmonic mean of the parts in "
    "comparability.capability_parts: all eighteen (probability, rouge, truth_ratio, token_entropy, similarity, "
    "entailment of retain, real authors, world facts), or those of the sets that were evaluated",
    "forget_efficacy": "closer-look's FE, paper 002's UFE: 1 - mean of probability, rouge, 1 - truth_ratio, "
    "similarity and entailment of the forget set",
    "targeted_forget_efficacy": "paper 002's TFE: harmonic mean of token_entropy and refusal_entailment of the "
    f"forget set. {_MISSED}",
    "overall": "paper 002's OVR where the target is no refusal (ME ...), derived (the paper gives no rule; this "
    "one gives 83 of its 85 numbers): mean of forget_efficacy and model_capability",
    "overall_targeted": "paper 002's OVR where the target is a refusal (IDK ...), derived as overall: mean of "
    "model_capability and the mean of forget_efficacy and targeted_forget_efficacy",
    "auc_loss": "probability that a held-out row scores higher than a forget row, ties counting half, 1 where all "
    "forget rows are known; score: mean negative log-likelihood of the answer, EOS included",
    "auc_zlib": "as auc_loss; score: that over the bytes of the answer compressed by zlib",
    "auc_reference": "as auc_loss; score: that minus the retrained reference's",
    "auc_gradnorm": "as auc_loss; score: mean over parameter tensors of the 2-norm of its gradient, EOS "
    "left out, no dropout",
    "auc_min_k": "as auc_loss; score: minus the mean of the lowest 40 % of the answer's log-probabilities, EOS "
    "left out",
    "auc_min_k++": "as auc_min_k, of log-probabilities standardised under the model's own distribution at each "
    "place",
    "privleak": "MUSE's: 100 (AUC of the retrained reference - auc_min_k) / (1 - AUC of the reference); 0 like the "
    "reference, -100 known by heart",
    "non_finite": "rows in which some negative log-likelihood is NaN or infinite; they count with the worst value "
    "(probability 0, R infinite)",
    "max_new_tokens": "longest answer of all evaluation sets in tokens plus a quarter, unless given; TOFU's own "
    "code and open-unlearning use 200 (max_new_tokens=200 for parity)",
}
"""One line on each metric; a set's name before it says on which rows."""


def higher_is_better(name: str) -> Better:
    """Return the direction of a number of the summary.

    >>> higher_is_better("retain_rouge"), higher_is_better("retain_loss"), higher_is_better("forget_truth_ratio")
    (True, False, 'near reference')
    """
    if name.startswith(("auc_", "privleak")):
        return "near reference"
    # The parts of TFE: the retrained reference does not refuse, so nearness to it would count against refusing.
    aims = ("forget_quality", "forget_efficacy", "forget_token_entropy", "forget_refusal_entailment")
    if name.startswith("forget_") and not name.startswith(aims):
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
