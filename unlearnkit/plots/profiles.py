"""Which numbers a benchmark's tables and figures show, what forgetting is matched on, and what ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Profile:
    """How the results of one kind of evaluation are shown.

    Attributes:
        columns: Columns of the summary table.
        forget: What is matched, along x: it falls as the model forgets.
        keep: What ranks at matched forgetting, along y.
        beside: What the matched table shows besides, where paths have it.
        tolerance: Distance from the retrained reference at which forgetting counts as matched.
        abbreviations: What the narrow columns' heads stand for.
        where_known: Columns that are left out where no summary has them.
        followed: What is drawn over rounds, where paths have it.
    """

    columns: tuple[str, ...]
    forget: str
    keep: str
    beside: tuple[str, ...]
    tolerance: float
    abbreviations: str
    where_known: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()


_PAPER_002 = (
    "forget_efficacy",
    "targeted_forget_efficacy",
    "model_capability",
    "overall",
    "overall_targeted",
)
"""What an evaluation with closer-look's numbers has beside TOFU's."""

PROFILES = {
    "tofu": Profile(
        columns=(
            "forget_rouge", "retain_rouge", "forget_fact", "retain_fact", "forget_probability", "retain_probability",
            "forget_truth_ratio", "retain_truth_ratio", "model_utility", "forget_quality", "forget_quality_log10",
            "seconds", *_PAPER_002,
        ),
        forget="forget_rouge",
        keep="model_utility",
        beside=("forget_fact", "retain_fact", "model_utility", *_PAPER_002),
        # A path that levels out a hair above the reference, on the few words that any answer shares with the
        # truth, has forgotten all the same.
        tolerance=0.1,
        abbreviations=(
            "F: forget set, R: retain set; prob: probability, TR: truth ratio, MU: model utility, "
            "qual.: forget quality as a p-value, log10: the same as a power of ten; UFE, TFE, MC, OVR: paper 002's."
        ),
        where_known=_PAPER_002,
        # Paper 001's figure 6.
        followed=("forget_rouge", "retain_rouge", "forget_loss", "retain_loss"),
    ),
    "people": Profile(
        columns=(*_PAPER_002, "forget_rouge", "retain_rouge", "forget_quality_log10", "seconds"),
        forget="forget_rouge",
        keep="model_capability",
        beside=("forget_efficacy", "targeted_forget_efficacy", "retain_rouge"),
        tolerance=0.1,
        abbreviations=(
            "UFE, TFE: untargeted and targeted forget efficacy, MC: model capability on people to test, OVR: overall, "
            "OVR t: with TFE (paper 002); F: forget set, R: people to test; log10: forget quality as a power of ten."
        ),
        where_known=_PAPER_002,
        followed=("forget_rouge", "retain_rouge", "forget_loss", "retain_loss"),
    ),
    "muse": Profile(
        columns=(
            "forget_verbmem", "forget_knowmem", "retain_knowmem", "privleak", "verbmem", "knowmem", "utility",
            "forget_loss", "retain_loss", "seconds",
        ),
        forget="forget_verbmem",
        keep="retain_knowmem",
        beside=("forget_knowmem", "utility", "retain_loss", "privleak"),
        tolerance=0.05,
        abbreviations=(
            "F: forget set, R: retain set; verb, know: MUSE's verbatim and knowledge memorisation (ROUGE-L F); PL: "
            "privacy leakage, per cent; 001: paper 001's Verbmem, Knowmem and Utility (ROUGE-L recall)."
        ),
        followed=("forget_verbmem", "retain_knowmem", "forget_loss", "retain_loss"),
    ),
    "preferences": Profile(
        columns=(
            "reward", "win_rate", "win_rate_length_controlled", "asr_keyword", "asr_answer", "asr_useful",
            "asr_summary", "safety", "over_refusal", "hallucination_rate", "hallucination_proxy", "coherence",
            "degenerate", "mia_min_k", "ppl_own", "ppl_reference", "ppl_chosen", "forget_log_prob",
            "retain_loss", "preference_accuracy", "kl_from_start", "distance_from_start", "seconds",
        ),
        # The reward is what methods are judged by: matched on it, nothing would be left to rank. This one falls as the
        # negatives are forgotten, for every method, and needs neither a reward nor a judge.
        forget="forget_log_prob",
        keep="reward",
        beside=("win_rate", "asr_keyword", "degenerate", "ppl_chosen", "retain_loss", "kl_from_start"),
        tolerance=0.1,
        abbreviations=(
            "WR: win rate, LC: at equal lengths; ASR: attacks that succeed, K by keyword, A, U, S by judge (answer, "
            "useful, all in all); hall.: hallucinations, by judge and by likelihood; coh.: similarity of prompt and "
            "response; degen.: no words or repetition; MIA: Min-20% attack; PPL: perplexity; F, R: forget and retain "
            "set; KL, dist: from where unlearning started."
        ),
        where_known=(
            "win_rate", "win_rate_length_controlled", "asr_answer", "asr_useful", "asr_summary", "safety",
            "over_refusal", "hallucination_rate", "ppl_reference", "kl_from_start", "distance_from_start",
        ),
        followed=("reward", "forget_log_prob", "retain_loss"),
    ),
    "classification": Profile(
        columns=(
            "forget_accuracy", "retain_accuracy", "test_accuracy", "forget_class_test_accuracy",
            "mia_entropy_member_rate", "mia_confidence_nonmember_rate", "gap", "js_divergence", "seconds",
        ),
        forget="forget_accuracy",
        keep="test_accuracy",
        beside=("retain_accuracy", "forget_class_test_accuracy", "mia_entropy_member_rate", "gap"),
        tolerance=0.02,
        abbreviations=(
            "FA, RA, TA: accuracy on forget, retain and test images; TA F: on test images of forgotten classes; MIA "
            "ent: called members by the attack on the entropy, MIA SVC: called non-members by the attack on the "
            "confidence; JS: divergence from retrained."
        ),
        where_known=("forget_class_test_accuracy",),
        followed=("forget_accuracy", "retain_accuracy", "test_accuracy", "mia_entropy_member_rate"),
    ),
    "generation": Profile(
        columns=(
            "forget_accuracy", "retain_accuracy", "fid", "kid", "precision", "recall", "forget_entropy",
            "forget_probability", "forget_blank", "retain_loss", "seconds",
        ),
        forget="forget_accuracy",
        keep="retain_accuracy",
        beside=("fid", "kid", "precision", "recall", "forget_entropy"),
        tolerance=0.05,
        abbreviations=(
            "FA, RA: accuracy of a classifier of held-out images on images asked for of forgotten and of kept classes; "
            "FID, KID, prec., rec.: images of kept classes against real ones; F ent, F prob: entropy of that "
            "classifier's prediction and its probability of the class asked for, of forgotten classes; F blank: all "
            "black or white; R loss: denoising loss of the retain images."
        ),
        where_known=("fid", "kid", "precision", "recall"),
        followed=("forget_accuracy", "retain_accuracy", "forget_loss", "retain_loss"),
    ),
}  # fmt: skip
"""By the name that an evaluation carries as its benchmark."""


def profile(results: Mapping[str, Any]) -> Profile:
    """Return the profile of a results dict: of the benchmark it names, TOFU's where it names none.

    >>> profile({"evaluation": "classification"}).forget, profile({}).forget
    ('forget_accuracy', 'forget_rouge')
    """
    found = PROFILES.get(str(results.get("evaluation")), PROFILES["tofu"])
    rows = results.get("rows")
    known = {key for row in (rows if isinstance(rows, list) else ()) for key in row.get("summary") or {}}
    left_out = set(found.where_known) - known
    if not left_out:
        return found
    return replace(found, columns=tuple(key for key in found.columns if key not in left_out))
