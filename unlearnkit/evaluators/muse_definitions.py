"""What each number of a MUSE evaluation is, by name, and which direction is better."""

from __future__ import annotations

from unlearnkit.evaluators.tofu_definitions import Better

SETS = ("verbmem", "forget_knowmem", "retain_knowmem")
"""The sets of prompts, in the order they are answered."""

TEXTS = ("privleak_forget", "privleak_retain", "privleak_holdout")
"""The sets of texts that are scored whole."""

VERBMEM_TOKENS = 128
"""Most tokens of a continuation (MUSE), and of the truth it is compared with, BOS included."""

KNOWMEM_TOKENS = 32
"""Most tokens of an answer (MUSE)."""

_F = "ROUGE-L F, no stemmer, mean over rows, a fraction (MUSE's own code prints per cent)"
_AS = "as in open-unlearning's port"

DEFINITIONS: dict[str, str] = {
    "forget_verbmem": f"MUSE's VerbMem: greedy continuation of each prompt by {VERBMEM_TOKENS} tokens at most against "
    f"the true one, cut to {VERBMEM_TOKENS} tokens with BOS; {_F}",
    "forget_knowmem": f"MUSE's KnowMem on the forget set: greedy answers of {KNOWMEM_TOKENS} tokens at most after the "
    f"examples, cut at an empty line or the next question; {_F}",
    "retain_knowmem": "the same on the retain set: MUSE's utility preservation",
    "privleak": "MUSE's PrivLeak, per cent: 100 (A - A_retrained) / A_retrained with A = 1 - auc_min_k, A_retrained "
    "that of the reference; -100 is no unlearning, above 0 the forget texts look less known than texts never seen",
    "privleak_published": "privleak with the area that MUSE's code holds for its own retrained 7B model (News 0.4772, "
    "Books 0.5393); of real corpora only, and comparable with its tables for its models only",
    "auc_min_k": "probability that a holdout text has a higher Min-40% score than a forget text; score: minus the mean "
    "of the lowest 40 % (one at least) of the log-probabilities of a text's tokens, BOS not scored; 1: known by heart",
    "forget_verbmem_ou": f"forget_verbmem {_AS}: Porter stemmer, the whole true continuation",
    "forget_knowmem_ou": f"forget_knowmem {_AS}: Porter stemmer",
    "retain_knowmem_ou": f"retain_knowmem {_AS}: Porter stemmer",
    "auc_min_k_ou": f"auc_min_k {_AS}: the last token of each text is left out",
    "privleak_ou": f"privleak {_AS}: of auc_min_k_ou, A_retrained = 0.5 where there is no reference, 1e-10 added to "
    "the denominator",
    "verbmem": "paper 001's Verbmem (eq. 8): ROUGE-L recall of the continuations of forget_verbmem against the same "
    "truths; the paper names neither stemmer (here Porter's, as on TOFU) nor length",
    "knowmem": "paper 001's Knowmem (eq. 9): ROUGE-L recall, Porter stemmer, on the forget questions",
    "utility": "paper 001's Utility on MUSE (eq. 10): the same on the retain questions",
    "forget_loss": "negative log-likelihood of the forget texts of privleak, nats, mean over all their tokens",
    "retain_loss": "the same of the retain texts",
    "holdout_loss": "the same of the holdout texts, which nobody learned",
    "non_finite": "texts of privleak whose negative log-likelihood is NaN or infinite",
}
"""One line on each number."""

_NEAR = (
    "forget_verbmem", "forget_knowmem", "forget_verbmem_ou", "forget_knowmem_ou", "forget_loss", "holdout_loss",
    "auc_min_k", "auc_min_k_ou", "privleak", "privleak_ou", "privleak_published",
)  # fmt: skip


def higher_is_better(name: str) -> Better:
    """Return the direction of a number of the summary.

    >>> higher_is_better("retain_knowmem"), higher_is_better("verbmem"), higher_is_better("privleak")
    (True, False, 'near reference')
    """
    if name in _NEAR:
        return "near reference"
    # Paper 001 wants Verbmem and Knowmem as low as they get.
    return name not in ("verbmem", "knowmem", "retain_loss", "non_finite")
