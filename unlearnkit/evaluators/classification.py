"""ClassificationEvaluator: FA, RA, TA and both membership attacks from one pass over each set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.artifacts import content_hash, plain
from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.evaluators.base import (
    FORMAT,
    Evaluation,
    Evaluator,
    describe_model,
    describe_run,
    require_comparable,
    versions,
)
from unlearnkit.evaluators.confusion import confusion, shown
from unlearnkit.evaluators.packed import pack, unpack
from unlearnkit.evaluators.predictions import Predictions
from unlearnkit.evaluators.ranks import gather, place
from unlearnkit.host import eval_mode
from unlearnkit.metrics.functional.gap import NUMBERS
from unlearnkit.metrics.functional.membership import (
    confidence_nonmember_rate,
    entropy,
    entropy_member_rate,
    js_divergence,
    true_class_probability,
)

SETS = ("forget", "retain", "test")

MOST_NUMBERS = 4_000_000
"""Probabilities of forget images that an evaluation keeps at most (10 MB), for the divergence from another model."""

DEFINITIONS = {
    "forget_accuracy": "FA: fraction of the forget images classified as their training label, without augmentation",
    "retain_accuracy": "RA: the same of the retain images",
    "test_accuracy": "TA: the same of the test images of the classes that are retained",
    "forget_class_test_accuracy": "the same of the test images of classes of which no image is retained",
    "mia_entropy_member_rate": (
        "MIA of paper 002: fraction of forget images that logistic regression on the entropy of the prediction, "
        "trained on all retain (members) against all test images of retained classes, calls members; near the "
        "retrained model's is good"
    ),
    "mia_confidence_nonmember_rate": (
        "MIA of SalUn: fraction of forget images that an SVC on the probability of the label, trained on as many "
        "retain as test images of retained classes (evenly spread, `attack_rows` of either kind at most), calls "
        "non-members; near the retrained model's is good. Where members and outsiders look alike, it need not lie "
        "near one half, as the attack on the entropy does"
    ),
    "js_divergence": (
        "mean Jensen-Shannon divergence from the retrained model's predictions of the forget images, nats, both in "
        f"half precision; of more than {MOST_NUMBERS} probabilities, on as many evenly spread images as have them"
    ),
    "gap": "mean over FA, RA, TA and MIA (entropy) of the distance from the retrained model of the same seed",
}

BETTER: dict[str, bool | str] = {
    "forget_accuracy": "near reference",
    "retain_accuracy": True,
    "test_accuracy": True,
    "forget_class_test_accuracy": "near reference",
    "mia_entropy_member_rate": "near reference",
    "mia_confidence_nonmember_rate": "near reference",
    "forget_loss": "near reference",
    "retain_loss": False,
    "test_loss": False,
    "js_divergence": False,
    "gap": False,
}


class ClassificationEvaluator(Evaluator):
    """Evaluate a classifier on forget, retain and test images.

    Args:
        batch_size: Images in a batch.
        rows: Images of each set to evaluate, evenly spread over it (sets may be sorted by class); None evaluates all.
        attacks: Whether the membership attacks are made.
        attack_rows: Images of either kind that the SVC is trained on at most; None takes as many retain images as
            there are test images, as SalUn does.

    Raises:
        ConfigurationError: A number is below 1.
    """

    def __init__(
        self,
        batch_size: int = 512,
        rows: int | None = None,
        attacks: bool = True,
        attack_rows: int | None = 2000,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("rows", rows), ("attack_rows", attack_rows)):
            if value is not None and value < 1:
                raise ConfigurationError(f"`{name}` must be at least 1. Found {value}. Leave it unset.")
        self.batch_size = batch_size
        self.rows = rows
        self.attacks = attacks
        self.attack_rows = attack_rows

    def evaluate(self, model: Any, datamodule: Any, reference: Evaluation | None = None) -> Evaluation:
        """Return the evaluation as one JSON-able dictionary, the same on every rank.

        Args:
            model: Classifies batches; it may be in any mode and is left in it.
            datamodule: An ``Images`` after ``setup``: ``evaluation_samples``, ``collate``, ``split``, ``classes``.
            reference: Evaluation of the retrained model, for gap and divergence.

        Raises:
            DataError: A set has no images.
            MismatchError: The reference belongs to another split, or to other images.
        """
        rank, world = place(model)
        found = {name: self._predict(model, datamodule, name, rank, world) for name in SETS}
        held_out = _not_retained(datamodule.retained_classes, found["test"].labels)
        forgotten = sorted(set(found["test"].labels[held_out].tolist()))
        tables = {name: confusion(rows.log_probabilities, rows.labels) for name, rows in found.items()}
        forget, classes = found["forget"], list(datamodule.classes)
        kept = _spread(range(len(forget.labels)), max(1, MOST_NUMBERS // forget.log_probabilities.shape[1]))
        evaluation: Evaluation = {
            "benchmark": "classification",
            "definitions": DEFINITIONS,
            "comparability": {
                "format": FORMAT,
                "split_hash": datamodule.split.hash,
                "rows": "all" if self.rows is None else f"{self.rows} of each set, evenly spread",
                "n": {name: len(rows.labels) for name, rows in found.items()},
                "row_hashes": {name: content_hash(rows.index.tolist()) for name, rows in found.items()},
                "attack_rows": self.attack_rows,
            },
            "model": describe_model(model),
            "run": describe_run(datamodule, world),
            "versions": versions(),
            "failure": _failure(found),
            "summary": self._summary(found, held_out),
            "classes": classes,
            "confusion": tables,
            "confusion_shown": shown(tables, classes, forgotten),
            "per_sample": {
                "forget": {
                    "index": forget.index.tolist(),
                    "label": forget.labels.tolist(),
                    "packed_probabilities": pack(forget.probabilities[list(kept)]),
                }
            },
        }
        return self.with_reference(evaluation, reference)

    @torch.no_grad()
    def _predict(self, model: Any, datamodule: Any, name: str, rank: int, world: int) -> Predictions:
        """Return what the model says of one set."""
        samples = _spread(datamodule.evaluation_samples(name), self.rows)
        if not len(samples):
            raise DataError(f"`{name}` must hold at least one image. Found none. Evaluate a set with images.")
        device = next(model.parameters()).device
        own: list[tuple[Tensor, int, int]] = []
        with eval_mode(model):
            for low in range(0, len(samples[rank::world]), self.batch_size):
                batch = datamodule.collate(samples[rank::world][low : low + self.batch_size])
                moved = {key: value.to(device) for key, value in batch.items()}
                found = model(moved).float().log_softmax(-1).cpu()
                # Copies: a view of the batch would send all of it along with each row.
                own += zip(
                    map(torch.clone, found), batch["targets"].tolist(), batch["index"].tolist(), strict=True
                )
        rows = gather(own, world)
        numbers = [torch.tensor([row[place] for row in rows]) for place in (1, 2)]
        return Predictions(torch.stack([row[0] for row in rows]), numbers[0], numbers[1])

    def _summary(self, found: dict[str, Predictions], held_out: Tensor) -> dict[str, Any]:
        """Return the flat numbers."""
        summary: dict[str, Any] = {}
        for name, rows in found.items():
            right = rows.right
            if name == "test":
                if held_out.any():
                    summary["forget_class_test_accuracy"] = right[held_out].mean().item()
                right = right[~held_out]
            summary[f"{name}_accuracy"] = right.mean().item()
            summary[f"{name}_loss"] = rows.losses.mean().item()
        if self.attacks:
            # As in SalUn's and DualOptim's code: of a class that is forgotten nobody is a member to compare with.
            others = ~held_out
            uncertain, sure = {}, {}
            for name, rows in found.items():
                chosen = others if name == "test" else torch.ones_like(rows.labels, dtype=torch.bool)
                uncertain[name] = entropy(rows.probabilities[chosen])
                sure[name] = true_class_probability(rows.probabilities[chosen], rows.labels[chosen])
            summary["mia_entropy_member_rate"] = entropy_member_rate(**uncertain)
            summary["mia_confidence_nonmember_rate"] = confidence_nonmember_rate(
                **sure, rows=self.attack_rows
            )
        return summary

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation with gap and divergence, None where they cannot be had; nothing is run again."""
        summary = dict(evaluation["summary"]) | {"gap": None, "js_divergence": None}
        if reference is not None:
            require_comparable(evaluation, reference, sets=SETS)
            theirs = reference["summary"]
            if all(summary.get(name) is not None and theirs.get(name) is not None for name in NUMBERS):
                summary["gap"] = sum(abs(summary[name] - theirs[name]) for name in NUMBERS) / len(NUMBERS)
            pair = [
                found["per_sample"]["forget"].get("packed_probabilities") for found in (evaluation, reference)
            ]
            if all(pair):  # an older file has none
                summary["js_divergence"] = js_divergence(*map(unpack, pair)).mean().item()
        better = {name: BETTER.get(name) for name in summary}
        result: Evaluation = plain(evaluation | {"summary": summary, "higher_is_better": better})
        return result


def _failure(found: dict[str, Predictions]) -> str | None:
    """Say of how many images a model that diverged says nothing, None where it answers all."""
    lost = {name: int((~rows.answered).sum()) for name, rows in found.items()}
    parts = [f"{lost[name]} of {len(found[name].labels)} {name} images" for name in SETS if lost[name]]
    return f"the model's output is not a number for {', '.join(parts)}: it diverged" if parts else None


def _spread(samples: Any, rows: int | None) -> Any:
    """Return some samples, evenly spread.

    >>> _spread(range(10), 4)
    [0, 2, 5, 7]
    """
    if rows is None or rows >= len(samples):
        return samples
    return [samples[place * len(samples) // rows] for place in range(rows)]


def _not_retained(retained: list[int], test: Tensor) -> Tensor:
    """Mark the test images of classes of which no image is retained, [n] bool; none where that is all of them."""
    marked = ~torch.isin(test, torch.tensor(retained))
    return marked if not marked.all() else torch.zeros_like(marked)
