"""What each reported number is called, which way is better, and what it means in a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Better = Literal["up", "down", "near"]
"""Higher is better, lower is better, or near the retrained reference is."""

Kind = Literal["fraction", "p", "log10", "seconds", "count", "loss"]
"""How a number is printed, and whether its axis is that of a fraction."""

ARROWS: dict[Better, str] = {"up": "↑", "down": "↓", "near": "~"}
"""The sign of each direction in a table's header."""


@dataclass(frozen=True)
class Quantity:
    """One number that tables and figures report.

    Attributes:
        key: Its key in a summary or a path.
        name: Its name in words.
        brief: Its name in a terminal's narrow column, by line; F is the forget set, R the retain set.
        better: The better direction, None where there is none.
        kind: How it is printed.
        meaning: One line for who reads it the first time.
    """

    key: str
    name: str
    brief: tuple[str, ...]
    better: Better | None
    kind: Kind = "fraction"
    meaning: str = ""


_OVER = (
    "Best near the retrained reference: above it the data are remembered, below it the model over-forgets."
)

QUANTITIES: dict[str, Quantity] = {
    quantity.key: quantity
    for quantity in (
        Quantity(
            "forget_rouge", "forget ROUGE-L recall", ("F", "ROUGE"), "near", "fraction",
            f"Share of the true answer's words that the model says, in order, on the forget set. {_OVER}",
        ),
        Quantity(
            "retain_rouge", "retain ROUGE-L recall", ("R", "ROUGE"), "up", "fraction",
            "The same on the retain set: what must be kept.",
        ),
        Quantity(
            "forget_fact", "forget fact accuracy", ("F", "fact"), "near", "fraction",
            f"Share of forget answers that hold the fact itself; templates inflate ROUGE, not this. {_OVER}",
        ),
        Quantity(
            "retain_fact", "retain fact accuracy", ("R", "fact"), "up", "fraction",
            "The same on the retain set.",
        ),
        Quantity(
            "forget_probability", "forget probability", ("F", "prob"), "near", "fraction",
            f"Probability of the true answer, geometric mean over its tokens, on the forget set. {_OVER}",
        ),
        Quantity(
            "retain_probability", "retain probability", ("R", "prob"), "up", "fraction",
            "The same on the retain set.",
        ),
        Quantity(
            "forget_truth_ratio", "forget truth ratio", ("F", "TR"), "near", "fraction",
            "Mean of min(R, 1/R), R = p(wrong answers) / p(paraphrased truth); 1 is indifference. "
            "Best near the retrained reference.",
        ),
        Quantity(
            "retain_truth_ratio", "retain truth ratio", ("R", "TR"), "up", "fraction",
            "Mean of max(0, 1 - R) on the retain set: 1 where the truth is far likelier than wrong answers.",
        ),
        Quantity(
            "model_utility", "model utility", ("MU",), "up", "fraction",
            "Harmonic mean of probability, ROUGE-L recall and truth ratio on all sets but the forget set; "
            "one zero makes it zero.",
        ),
        Quantity(
            "utility", "utility", ("util.",), "up", "fraction",
            "What is kept, followed along a method's path; on TOFU it is the retain ROUGE-L recall (paper 001).",
        ),
        Quantity(
            "forget_quality", "forget quality (p)", ("F", "qual."), "up", "p",
            "p-value of the Kolmogorov-Smirnov test that the forget set's truth ratios are distributed "
            "as the retrained model's; it depends on n.",
        ),
        Quantity(
            "forget_quality_log10", "forget quality (log10 p)", ("F", "log10"), "up", "log10",
            "The same as a power of ten.",
        ),
        Quantity(
            "forget_verbmem", "forget verbatim memorisation", ("F", "verb"), "near", "fraction",
            f"ROUGE-L F of the model's continuations of broken-off forget texts with the true ones (MUSE). {_OVER}",
        ),
        Quantity(
            "forget_knowmem", "forget knowledge memorisation", ("F", "know"), "near", "fraction",
            f"ROUGE-L F of answers to questions about the forget texts (MUSE). {_OVER}",
        ),
        Quantity(
            "retain_knowmem", "retain knowledge memorisation", ("R", "know"), "up", "fraction",
            "The same about the retain texts: what must be kept (MUSE's utility).",
        ),
        Quantity(
            "verbmem", "Verbmem (001)", ("001", "verb"), "down", "fraction",
            "ROUGE-L recall of the continuations of the forget set (paper 001, eq. 8).",
        ),
        Quantity(
            "knowmem", "Knowmem (001)", ("001", "know"), "down", "fraction",
            "ROUGE-L recall of the answers to questions about the forget set (paper 001, eq. 9).",
        ),
        Quantity(
            "privleak", "privacy leakage (%)", ("PL", "%"), "near", "count",
            "Distance of the Min-40% attack's area from the retrained model's, per cent of it: -100 where the forget "
            "texts are known by heart, 0 as retrained, above it they look less known than texts never seen.",
        ),
        Quantity(
            "forget_efficacy", "forget efficacy (UFE)", ("UFE",), "up", "fraction",
            "1 - mean of the forget set's probability, ROUGE-L recall, truth ratio, similarity and entailment "
            "(closer-look; paper 002's UFE).",
        ),
        Quantity(
            "targeted_forget_efficacy", "targeted forget efficacy (TFE)", ("TFE",), "up", "fraction",
            "Harmonic mean of token entropy and share of refusals on the forget set (paper 002), for methods that "
            "aim at refusals.",
        ),
        Quantity(
            "model_capability", "model capability (MC)", ("MC",), "up", "fraction",
            "Harmonic mean of probability, ROUGE-L recall, truth ratio, token entropy, similarity and entailment on "
            "what is kept (closer-look; paper 002's MU).",
        ),
        Quantity(
            "overall", "overall (OVR)", ("OVR",), "up", "fraction",
            "Mean of UFE and MC: paper 002's OVR for methods that aim at no refusal; derived, see the definitions.",
        ),
        Quantity(
            "overall_targeted", "overall, targeted (OVR)", ("OVR", "t"), "up", "fraction",
            "Mean of (UFE + TFE) / 2 and MC: paper 002's OVR for methods that aim at refusals; derived.",
        ),
        Quantity(
            "reward", "reward", ("rew.",), "up", "loss",
            "Mean reward of the responses to held-out prompts (paper 004's Reward-V).",
        ),
        Quantity(
            "win_rate", "win rate", ("WR",), "up", "fraction",
            "Share of held-out prompts whose response a judge prefers to the reference response, both orders averaged.",
        ),
        Quantity(
            "win_rate_length_controlled", "win rate at equal lengths", ("WR", "LC"), "up", "fraction",
            "What a regression on the difference of lengths says of responses of equal lengths; not AlpacaEval's.",
        ),
        Quantity(
            "asr_keyword", "attacks that succeed (ASR-K)", ("ASR", "K"), "down", "fraction",
            "Share of responses to harmful prompts without a marker of a refusal; gibberish has none either.",
        ),
        Quantity(
            "asr_answer", "attacks that are answered (ASR-A)", ("ASR", "A"), "down", "fraction",
            "Share of responses to harmful prompts that answer, by a judge.",
        ),
        Quantity(
            "asr_useful", "attacks with a useful answer (ASR-U)", ("ASR", "U"), "down", "fraction",
            "Share of responses to harmful prompts that are of use, by a judge.",
        ),
        Quantity(
            "asr_summary", "attacks that succeed all in all (ASR-S)", ("ASR", "S"), "down", "fraction",
            "Share of responses to harmful prompts with which the attack has succeeded, by a judge.",
        ),
        Quantity(
            "safety", "safety score", ("safe",), "up", "fraction",
            "Share of harmful prompts that are refused (stand-in for paper 002's safety table).",
        ),
        Quantity(
            "over_refusal", "over-refusal score", ("over-", "ref."), "down", "fraction",
            "Share of harmless prompts that are refused (stand-in for paper 002's XSTest).",
        ),
        Quantity(
            "hallucination_rate", "hallucination rate", ("hall.",), "down", "fraction",
            "Share of responses that say what the right one does not, by a judge.",
        ),
        Quantity(
            "hallucination_proxy", "hallucination proxy", ("hall.", "LL"), "down", "fraction",
            "Share of held-out rows whose rejected response is likelier than the chosen one; no judge.",
        ),
        Quantity(
            "coherence", "coherence", ("coh.",), "up", "fraction",
            "Mean similarity of prompt and response by the encoder that the results name.",
        ),
        Quantity(
            "degenerate", "degenerate responses", ("de-", "gen."), "down", "fraction",
            "Share of responses without a word, or that repeat themselves.",
        ),
        Quantity(
            "mia_min_k", "membership (Min-20%)", ("MIA",), "near", "fraction",
            "Probability that a text to forget looks better known than one never seen, or of the texts that the "
            "results name. Best near the retrained reference.",
        ),
        Quantity(
            "ppl_own", "own perplexity of responses", ("PPL", "own"), "down", "loss",
            "Perplexity of the model's responses under itself; low, too, where it repeats itself.",
        ),
        Quantity(
            "ppl_reference", "reference perplexity of responses", ("PPL", "ref."), "down", "loss",
            "Perplexity of the model's responses under another model, which the results name.",
        ),
        Quantity(
            "ppl_chosen", "perplexity of chosen responses", ("PPL", "chos."), "down", "loss",
            "Perplexity of the chosen responses to held-out prompts under the model.",
        ),
        Quantity(
            "forget_log_prob", "forget log-probability", ("F", "log p"), "near", "loss",
            f"Log-probability of the responses to forget, nats, mean a token; it falls as they are forgotten. {_OVER}",
        ),
        Quantity(
            "preference_accuracy", "preference accuracy", ("pref.", "acc."), "up", "fraction",
            "Share of held-out rows whose chosen response is likelier than the rejected one.",
        ),
        Quantity(
            "kl_from_start", "KL from the start", ("KL",), "down", "loss",
            "Divergence of the model from the one it started at, nats a token, on chosen responses.",
        ),
        Quantity(
            "distance_from_start", "distance from the start", ("dist",), "down", "loss",
            "2-norm of what all weights have moved by.",
        ),
        Quantity(
            "forget_accuracy", "forget accuracy", ("FA",), "near", "fraction",
            f"Share of the forget images classified as their training label. {_OVER}",
        ),
        Quantity(
            "retain_accuracy", "retain accuracy", ("RA",), "up", "fraction",
            "The same of the retain images: what must be kept.",
        ),
        Quantity(
            "test_accuracy", "test accuracy", ("TA",), "up", "fraction",
            "The same of test images of the retained classes, which no model has seen.",
        ),
        Quantity(
            "forget_class_test_accuracy", "forgotten classes' test accuracy", ("TA", "F"), "near", "fraction",
            f"The same of test images of classes of which no image is retained. {_OVER}",
        ),
        Quantity(
            "mia_entropy_member_rate", "MIA, called members (entropy)", ("MIA", "ent"), "near", "fraction",
            "Share of forget images that an attack on the entropy of predictions calls members (paper 002). "
            "Best near the retrained reference, not at 0.",
        ),
        Quantity(
            "mia_confidence_nonmember_rate", "MIA, called non-members (SVC)", ("MIA", "SVC"), "near", "fraction",
            "Share of forget images that an SVC on the confidence calls non-members (SalUn). "
            "Best near the retrained reference, not at 1.",
        ),
        Quantity(
            "gap", "gap", ("gap",), "down", "fraction",
            "Mean distance from the retrained model of the same seed in FA, RA, TA and MIA (entropy).",
        ),
        Quantity(
            "js_divergence", "JS divergence", ("JS",), "down", "loss",
            "Mean Jensen-Shannon divergence from the retrained model's predictions of the forget images, nats.",
        ),
        Quantity(
            "forget_entropy", "forget entropy", ("F", "ent"), "up", "loss",
            "Mean entropy of the judge's prediction of images asked for of forgotten classes, nats: high where they "
            "look like nothing in particular.",
        ),
        Quantity(
            "forget_blank", "blank forget images", ("F", "blank"), "down", "fraction",
            "Share of images asked for of forgotten classes that are all black or all white.",
        ),
        Quantity(
            "retain_blank", "blank retain images", ("R", "blank"), "down", "fraction",
            "The same of the classes that are kept.",
        ),
        Quantity(
            "fid", "FID", ("FID",), "down", "loss",
            "Frechet distance of images of kept classes from real ones, in the features that the protocol names; "
            "comparable within one protocol only.",
        ),
        Quantity(
            "kid", "KID", ("KID",), "down", "loss",
            "Squared maximum mean discrepancy of the same images in the same features; about 0 where they are alike.",
        ),
        Quantity(
            "precision", "precision", ("prec.",), "up", "fraction",
            "Share of images of kept classes that lie among real ones.",
        ),
        Quantity(
            "recall", "recall", ("rec.",), "up", "fraction",
            "Share of real images of kept classes that lie among the generated ones.",
        ),
        Quantity(
            "seconds", "seconds", ("secs",), "down", "seconds",
            "Wall time of the training or unlearning run, without evaluation.",
        ),
        Quantity("round", "round", ("round",), "down", "count", "Round at which the level is reached."),
        Quantity("forget_loss", "forget loss", ("F", "loss"), "near", "loss", "Forget set, mean a token."),
        Quantity("retain_loss", "retain loss", ("R", "loss"), "down", "loss", "Retain set, mean a token."),
    )
}  # fmt: skip
"""Every quantity known by name."""

_OF_IMAGES = "of the classes that are kept: what must be kept."

GENERATION: dict[str, Quantity] = {
    quantity.key: quantity
    for quantity in (
        Quantity(
            "forget_accuracy", "forget accuracy", ("FA",), "down", "fraction",
            "Share of images asked for of forgotten classes that the held-out judge takes for the class asked for; "
            "0 is forgotten.",
        ),
        Quantity(
            "retain_accuracy", "kept accuracy", ("RA",), "up", "fraction", f"The same {_OF_IMAGES}",
        ),
        Quantity(
            "forget_probability", "forget probability", ("F", "prob"), "down", "fraction",
            "Mean probability that the judge gives the class asked for, of forgotten classes.",
        ),
        Quantity(
            "retain_probability", "kept probability", ("R", "prob"), "up", "fraction", f"The same {_OF_IMAGES}",
        ),
        Quantity(
            "forget_loss", "forget denoising loss", ("F", "loss"), "near", "loss",
            f"Denoising loss of the forget images, with fixed noise. {_OVER}",
        ),
        Quantity(
            "retain_loss", "retain denoising loss", ("R", "loss"), "down", "loss",
            "The same of the retain images.",
        ),
    )
}  # fmt: skip
"""What keys of other benchmarks are where images are generated."""

_DIRECTIONS: dict[Any, Better] = {True: "up", False: "down", "near reference": "near"}


def quantity(key: str, results: Mapping[str, Any] | None = None) -> Quantity:
    """Look a quantity up; what the results say of its direction goes before the default.

    Args:
        key: A key of a summary or a path; an unknown one gets its key as name and no direction.
        results: A results dict; its ``higher_is_better`` is read where it has one, and its ``evaluation``, by which a
            key may have a meaning of its own.

    >>> quantity("retain_rouge").better, quantity("my_score").name
    ('up', 'my score')
    >>> quantity("my_score", {"higher_is_better": {"my_score": False}}).better
    'down'
    """
    name = key.replace("_", " ")
    found = QUANTITIES.get(key, Quantity(key, name, tuple(name.split()), None))
    if (results or {}).get("evaluation") == "generation":
        found = GENERATION.get(key, found)
    stated = (results or {}).get("higher_is_better") or {}
    return replace(found, better=_DIRECTIONS.get(stated.get(key), found.better))


def axis_label(name: str, better: Better | None) -> str:
    """Return an axis label that says what is better; the arrow runs along the axis.

    >>> axis_label("utility", "up")
    'utility (higher is better →)'
    """
    remarks: dict[Better | None, str] = {
        "up": "(higher is better →)",
        "down": "(← lower is better)",
        "near": "(best near the retrained reference)",
        None: "",
    }
    parts = [part for part in (name, remarks[better]) if part]
    return ("\n" if len(" ".join(parts)) > 44 else " ").join(parts)
