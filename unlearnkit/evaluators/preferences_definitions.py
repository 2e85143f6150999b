"""What each number of an evaluation of preferences is, by name, and which direction is better."""

from __future__ import annotations

from unlearnkit.evaluators.tofu_definitions import Better

_JUDGED = "by the judge that comparability.judge names, over the rows that it could judge"
_HARMFUL = "over test prompts that are harmful (all of them where no row says which)"

DEFINITIONS: dict[str, str] = {
    "reward": "paper 004's Reward-V: mean over test prompts of the reward of the greedy response, by the reward that "
    "comparability.reward names; rewards of tokens are summed",
    "asr_keyword": f"paper 004's ASR-K: share of greedy responses without any marker of a refusal, {_HARMFUL}; text "
    "that is no language counts as a success of the attack, so read it beside degenerate; markers and matching in "
    "comparability.refusal_markers, which is not the paper's list",
    "asr_answer": f"ASR-A: share of responses that answer, {_JUDGED}, {_HARMFUL}",
    "asr_useful": f"ASR-U: share of responses that are of use, {_JUDGED}, {_HARMFUL}",
    "asr_summary": f"ASR-S: share of attacks that succeeded all in all, {_JUDGED}, {_HARMFUL}",
    "safety": "stand-in for paper 002's safety columns: share of harmful test prompts that are refused, by marker. Its "
    "OVR column follows no rule that could be found, and is not computed",
    "over_refusal": "stand-in for paper 002's XSTest column: share of harmless test prompts that are refused",
    "win_rate": f"share of test prompts whose response is preferred to the reference response (to the chosen one where "
    f"there is none), both orders averaged, {_JUDGED}",
    "win_rate_length_controlled": "what a logistic regression on tanh(difference of lengths in characters / its "
    "standard deviation), two parameters, predicts for equal lengths; AlpacaEval 2's has a parameter an instruction "
    "as well, so numbers are not comparable with its",
    "hallucination_rate": f"share of responses that say what the chosen one does not, {_JUDGED}; of prompts "
    "that are not harmful",
    "hallucination_proxy": "P(log p(rejected) > log p(chosen)) over test rows, sums over tokens, a tie half; on "
    "HaluEval these are the hallucinated and the right answer. No judge; favours shorter responses",
    "hallucination_proxy_mean": "the same of means over tokens, which does not",
    "preference_accuracy": "share of test rows whose chosen response is likelier than the rejected one, by sums",
    "preference_margin": "mean of DPO's margin, 0.1 [(log p/p* of chosen) - (log p/p* of rejected)], over test rows; "
    "p* is the model that unlearning started at",
    "margin_accuracy": "share of test rows with a margin above 0, which DPO's trainers log as accuracy",
    "chosen_log_prob": "mean over test rows of the log-likelihood of the chosen response, nats",
    "rejected_log_prob": "the same of the rejected one; both may fall while the margin grows",
    "coherence": "mean similarity of prompt and response, max(0, cosine), by the encoder that comparability.coherence "
    "names (paper 004 takes SimCSE)",
    "distinct_1": "different words over all words of the responses",
    "distinct_2": "different pairs of neighbouring words over all such pairs of the responses",
    "degenerate": "share of responses without a word, or more than half of whose pairs of words are repetitions",
    "words": "mean number of words of a response",
    "mia_min_k": "Min-20%: probability that a text of comparability.mia.members looks better known than one of "
    "comparability.mia.nonmembers, ties half. Forget texts against texts never seen: best near the retrained reference",
    "mia_min_k_reversed": "1 - mia_min_k: that a non-member looks better known. Paper 004 reads its MIA as higher is "
    "better, and does not say which texts it tells apart",
    "ppl_own": "perplexity of the model's own responses under itself; low, too, where it repeats itself",
    "ppl_reference": "perplexity of the same responses under the model that comparability.scorer names",
    "ppl_chosen": "perplexity of the chosen responses of the test rows under the model, EOS included",
    "forget_log_prob": "log-likelihood of the rejected responses to forget, nats, mean over all their tokens; falls as "
    "the model forgets",
    "retain_loss": "negative log-likelihood of the chosen responses that are kept, nats, mean over all their tokens",
    "kl_from_start": "KL(p || p*) a token, nats, mean over the tokens of the chosen responses of the test rows; p* is "
    "the model that unlearning started at",
    "distance_from_start": "|theta - theta*|, 2-norm over all weights",
    "judge_skipped": "cases that the judge raised on each time it was asked; they are in no number",
    "non_finite": "rows in which some log-likelihood is NaN or infinite",
}
"""One line on each number."""

_NEAR = ("mia_min_k", "mia_min_k_reversed", "forget_log_prob", "words")
_UP = (
    "reward", "safety", "win_rate", "win_rate_length_controlled", "preference_accuracy", "preference_margin",
    "margin_accuracy", "chosen_log_prob", "coherence", "distinct_1", "distinct_2",
)  # fmt: skip


def higher_is_better(name: str) -> Better:
    """Return the direction of a number of the summary.

    >>> higher_is_better("reward"), higher_is_better("asr_keyword"), higher_is_better("mia_min_k")
    (True, False, 'near reference')
    """
    return "near reference" if name in _NEAR else name in _UP
