"""The metrics as pure functions; importing them loads torch and nothing heavier."""

from unlearnkit.metrics.functional.attacks import (
    ATTACKS,
    Attack,
    attack_auc,
    min_k_score,
    privleak,
    zlib_score,
)
from unlearnkit.metrics.functional.closer_look import (
    ASPECTS,
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    forget_efficacy,
    model_capability,
    token_entropy,
)
from unlearnkit.metrics.functional.distinct import distinct_n, n_grams, repeats, words_of
from unlearnkit.metrics.functional.drift import kl_from_start, parameter_distance
from unlearnkit.metrics.functional.entailment import entailed, lexical_entailment, lexical_judge
from unlearnkit.metrics.functional.extraction import (
    ExtractionConvention,
    exact_memorisation,
    extraction_strength,
)
from unlearnkit.metrics.functional.facts import (
    FactAccuracyResult,
    derived_fact_words,
    fact_accuracy,
    fact_occurs,
    holds_facts,
    row_facts,
)
from unlearnkit.metrics.functional.forget_quality import KSResult, forget_quality, ks_exact, ks_log10_floor
from unlearnkit.metrics.functional.judging import ASPECTS_JUDGED, Aspect, Case, Judge, Verdicts, ask
from unlearnkit.metrics.functional.likelihoods import (
    hallucination_proxy,
    preference_accuracy,
    preference_margins,
    preference_wins,
)
from unlearnkit.metrics.functional.memorisation import (
    RowMean,
    TruthRatioMean,
    failed_rows,
    forget_truth_ratio,
    log_truth_ratio,
    mean_over_rows,
    normalised_probability,
    paper_truth_ratio,
    probability,
    retain_truth_ratio,
    truth_indifference,
    truth_preference,
)
from unlearnkit.metrics.functional.min_k import MIN_K, Membership, min_k_membership, min_k_scores
from unlearnkit.metrics.functional.muse import (
    RETRAINED_AREA,
    OverRequests,
    first_answer,
    muse_privleak,
    over_requests,
)
from unlearnkit.metrics.functional.overall import overall_score, targeted_forget_efficacy
from unlearnkit.metrics.functional.perplexity import perplexity
from unlearnkit.metrics.functional.refusals import REFUSAL_MARKERS, keyword_asr, refusal_rate, refuses
from unlearnkit.metrics.functional.rewards import Reward, response_rewards
from unlearnkit.metrics.functional.rules import rule_verdict
from unlearnkit.metrics.functional.similarity import trigram_cosine
from unlearnkit.metrics.functional.text import (
    Rouge,
    lcs_length,
    rouge,
    rouge_1_recall,
    rouge_l_f,
    rouge_l_recall,
    rouge_tokens,
    unstemmed_rouge_l_f,
)
from unlearnkit.metrics.functional.utility import UTILITY_PARTS, UtilityResult, model_utility, partial_utility
from unlearnkit.metrics.functional.win_rate import both_orders, length_controlled_win_rate, pair_win, win_rate

__all__ = [
    "distinct_n",
    "n_grams",
    "repeats",
    "words_of",
    "kl_from_start",
    "parameter_distance",
    "Aspect",
    "ASPECTS_JUDGED",
    "Case",
    "Judge",
    "Verdicts",
    "ask",
    "hallucination_proxy",
    "preference_accuracy",
    "preference_margins",
    "preference_wins",
    "MIN_K",
    "Membership",
    "min_k_membership",
    "min_k_scores",
    "perplexity",
    "REFUSAL_MARKERS",
    "keyword_asr",
    "refusal_rate",
    "refuses",
    "Reward",
    "response_rewards",
    "rule_verdict",
    "both_orders",
    "length_controlled_win_rate",
    "pair_win",
    "win_rate",
    "ASPECTS",
    "ATTACKS",
    "CAPABILITY_PARTS",
    "EFFICACY_PARTS",
    "RETRAINED_AREA",
    "UTILITY_PARTS",
    "Attack",
    "ExtractionConvention",
    "FactAccuracyResult",
    "KSResult",
    "OverRequests",
    "Rouge",
    "RowMean",
    "TruthRatioMean",
    "UtilityResult",
    "attack_auc",
    "derived_fact_words",
    "entailed",
    "exact_memorisation",
    "extraction_strength",
    "fact_accuracy",
    "fact_occurs",
    "failed_rows",
    "first_answer",
    "forget_efficacy",
    "forget_quality",
    "forget_truth_ratio",
    "holds_facts",
    "ks_exact",
    "ks_log10_floor",
    "lcs_length",
    "lexical_entailment",
    "lexical_judge",
    "log_truth_ratio",
    "mean_over_rows",
    "min_k_score",
    "model_capability",
    "model_utility",
    "muse_privleak",
    "normalised_probability",
    "over_requests",
    "overall_score",
    "paper_truth_ratio",
    "partial_utility",
    "privleak",
    "probability",
    "retain_truth_ratio",
    "rouge",
    "rouge_1_recall",
    "rouge_l_f",
    "rouge_l_recall",
    "rouge_tokens",
    "row_facts",
    "targeted_forget_efficacy",
    "token_entropy",
    "trigram_cosine",
    "truth_indifference",
    "truth_preference",
    "unstemmed_rouge_l_f",
    "zlib_score",
]
