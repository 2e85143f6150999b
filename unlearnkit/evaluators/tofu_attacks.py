"""Membership attacks on the forget rows of TOFU, against authors that were held out of all training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.evaluators.answers import Columns, EncodedRow
from unlearnkit.evaluators.base import AnsweringModel, Evaluation
from unlearnkit.metrics.functional import Attack, attack_auc, min_k_score, privleak, zlib_score

ATTACKED = ("forget", "holdout")
"""The two sets that an attack tells apart."""


class TokenScores(Protocol):
    """What attacks read of one answer."""

    @property
    def log_probs(self) -> Sequence[float]:
        """Log-probability of each token, EOS included, nats."""
        ...

    @property
    def z_scores(self) -> Sequence[float]:
        """The same, standardised under the model's own distribution at each place."""
        ...


class AttackedModel(AnsweringModel, Protocol):
    """What an attack asks of a model; ``CausalLM`` has it."""

    def token_statistics_ids(
        self, sequences: list[tuple[list[int], list[int]]], batch_tokens: int
    ) -> Sequence[TokenScores]:
        """Return the statistics of each answer given its prompt, in the order given."""
        ...

    def gradient_norms_ids(self, sequences: list[tuple[list[int], list[int]]]) -> Sequence[float]:
        """Return the mean over parameters of the norm of each answer's gradient, in the order given."""
        ...


def attack_rows(
    model: AttackedModel,
    rows: Sequence[EncodedRow],
    attacks: Sequence[Attack],
    batch_tokens: int,
    eos_id: int,
    known: Sequence[Sequence[float]] | None = None,
) -> list[dict[str, Any]]:
    """Return what each attack says of the true answer of each row; low means known.

    ``loss`` is always there: ``reference`` subtracts two models' losses once both are known.

    Args:
        model: The model.
        rows: Tokenised rows.
        attacks: Names of the attacks.
        batch_tokens: Most tokens of a batch.
        eos_id: Token that ends an answer; ``gradnorm``, ``min_k`` and ``min_k++`` leave it out.
        known: Log-probabilities of the rows' answers where they were scored before; the model is then asked for
            ``gradnorm`` and ``min_k++`` alone. None asks it for them.
    """
    sequences = [(list(row.prompt), list(row.answers[0])) for row in rows]
    z_scores: list[Sequence[float]] = [()] * len(rows)
    if known is None or "min_k++" in attacks:
        statistics = model.token_statistics_ids(sequences, batch_tokens)
        known, z_scores = [one.log_probs for one in statistics], [one.z_scores for one in statistics]
    lengths = [len(answer) - (answer[-1] == eos_id) for _, answer in sequences]
    norms = [math.nan] * len(rows)
    if "gradnorm" in attacks:
        cut = [(prompt, answer[:kept]) for (prompt, answer), kept in zip(sequences, lengths, strict=True)]
        norms = list(model.gradient_norms_ids(cut))
    found = []
    for row, log_probs, z, norm, kept in zip(rows, known, z_scores, norms, lengths, strict=True):
        loss = -math.fsum(log_probs) / len(log_probs)
        scores: dict[str, float] = {
            "loss": loss,
            "zlib": zlib_score(loss, row.row.answer),
            "gradnorm": norm,
            "min_k": min_k_score(log_probs[:kept]),
            "min_k++": min_k_score(z[:kept]),
        }
        asked = {name: value for name, value in scores.items() if name == "loss" or name in attacks}
        found.append({"index": row.row.index, "question": row.row.question, **asked})
    return found


def require_attacked(sets: Mapping[str, Sequence[Any]]) -> None:
    """Refuse data without authors that nobody trained on.

    Raises:
        DataError: There is no holdout or no forget set.
    """
    for name in ATTACKED:
        if not sets.get(name):
            raise DataError(
                "`attacks` need rows of 'forget' and of 'holdout', authors that nobody trains on. Found no "
                f"{name} rows. Hold some out of target, reference and unlearning alike, e.g. --data.holdout_authors=2."
            )


def attack_summary(
    attacked: Mapping[str, Columns], attacks: Sequence[Attack], reference: Evaluation | None
) -> dict[str, float | None]:
    """Return the area of each attack, and privleak; None for what needs a reference where there is none.

    Args:
        attacked: Columns of ``forget`` and ``holdout``.
        attacks: Names of the attacks.
        reference: Evaluation of the retrained model.

    Raises:
        MismatchError: The reference was not attacked, or on other rows.
    """
    other = None if reference is None else _comparable(attacked, attacks, reference)
    found: dict[str, float | None] = {}
    for attack in attacks:
        if attack == "reference":
            found["auc_reference"] = None if other is None else _finite(_difference_auc(attacked, other))
        else:
            found[f"auc_{attack}"] = _finite(_auc(attacked, attack))
    if "min_k" in attacks:
        mine, theirs = found["auc_min_k"], None if other is None else _finite(_auc(other, "min_k"))
        found["privleak"] = None if mine is None or theirs is None else privleak(mine, theirs)
    return found


def _comparable(
    attacked: Mapping[str, Columns], attacks: Sequence[Attack], reference: Evaluation
) -> Mapping[str, Columns]:
    other: Mapping[str, Columns] | None = reference.get("attacks")
    remedy = "Evaluate the retrained model with the same `attacks` and holdout authors, and pass that."
    if not other:
        raise MismatchError(f"`reference` must have been attacked as well. Found no attacks in it. {remedy}")
    for name in ATTACKED:
        if attacked[name]["index"] != other[name]["index"]:
            raise MismatchError(
                f"`reference` must be attacked on the same {name} rows. Found other rows. {remedy}"
            )
    if "min_k" in attacks and "min_k" not in other["forget"]:
        raise MismatchError(f"`reference` must have the attack 'min_k' for privleak. Found none. {remedy}")
    return other


def _scores(rows: Columns, attack: str) -> list[float]:
    # A written evaluation holds null where a score was not finite.
    return [math.nan if score is None else score for score in rows[attack]]


def _auc(attacked: Mapping[str, Columns], attack: str) -> float:
    return attack_auc(*(_scores(attacked[name], attack) for name in ATTACKED))


def _difference_auc(attacked: Mapping[str, Columns], other: Mapping[str, Columns]) -> float:
    pairs = (
        zip(_scores(attacked[name], "loss"), _scores(other[name], "loss"), strict=True) for name in ATTACKED
    )
    return attack_auc(*([mine - theirs for mine, theirs in both] for both in pairs))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
