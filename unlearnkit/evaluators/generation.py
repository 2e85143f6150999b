"""GenerationEvaluator: does a generator still draw what it was to forget, and how well does it draw the rest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlearnkit.artifacts import plain
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.evaluators.base import (
    FORMAT,
    Evaluation,
    Evaluator,
    describe_model,
    describe_run,
    require_comparable,
    versions,
)
from unlearnkit.evaluators.generated import Generated, Sampling, generate
from unlearnkit.evaluators.generation_definitions import BETTER, DEFINITIONS
from unlearnkit.evaluators.generation_losses import SETS, denoising_losses
from unlearnkit.evaluators.image_quality import (
    Features,
    RealImages,
    feature_number,
    require_directions,
    require_enough,
)
from unlearnkit.evaluators.packed import pack_images
from unlearnkit.evaluators.ranks import place

SHOWN_CLASSES = 10
"""Classes of which images are kept at most, forgotten ones first."""

SHOWN_BYTES = 1_000_000
"""Bytes of kept images at most, where that leaves one of each class."""


class GenerationEvaluator(Evaluator):
    """Evaluate a class-conditional generator that forgot whole classes.

    Images are generated of each class, from noise that is the same for every model, and judged by a classifier that
    has not seen what the generators were trained on. Images of the classes that are kept are compared with real ones.
    How all that is done, the protocol, is kept with the numbers, and evaluations of different protocols are refused
    side by side.

    Args:
        judge: Classifies images, e.g. a ``HeldOutClassifier``; it is trained at the first evaluation.
        forget_samples: Images of each forgotten class.
        samples_per_class: Images of each class that is kept.
        steps: Of the sampler.
        guidance: The s of eps = (1 + s) cond - s uncond; 0 is the conditional model alone.
        eta: Noise of DDIM's steps, from 0 (none) to 1 (as much as DDPM's); 0 with ``ddpm``.
        sampler: ``ddim`` or ``ddpm``.
        features: In what images are compared: ``judge``, ``inception`` (its weights must be within reach), or ``auto``,
            Inception's where they are. The result names them.
        feature_dim: Take only so many directions of the features, those in which the real images vary most.
        reference: Real images to compare with: ``test``, ``held_out`` (on which the judge was trained) or ``retain``
            (on which generators are).
        reference_per_class: As many of each class that is kept; None takes all.
        neighbours: The k of precision and recall.
        loss_rows: Images of each set on which the denoising loss is measured, evenly spread; None takes all.
        shown: Images of a class that are kept for the sample grid.
        batch_size: Images that are generated at a time.
        seed: Of the noise that images are generated from.
        rows: Where a comparison sets it for its paths: at most so many images of a class and of a set. Numbers that
            need more are then None, where an evaluation in full refuses.

    Raises:
        ConfigurationError: A number is out of its range; at evaluation, FID has no more images than features.
        UnknownNameError: ``sampler`` or ``features`` is none of those.
    """

    def __init__(
        self,
        judge: nn.Module,
        *,
        forget_samples: int = 100,
        samples_per_class: int = 50,
        steps: int = 50,
        guidance: float = 2.0,
        eta: float = 0.0,
        sampler: Literal["ddim", "ddpm"] = "ddim",
        features: Features = "judge",
        feature_dim: int | None = None,
        reference: Literal["test", "held_out", "retain"] = "test",
        reference_per_class: int | None = None,
        neighbours: int = 3,
        loss_rows: int | None = 500,
        shown: int = 3,
        batch_size: int = 256,
        seed: int = 0,
        rows: int | None = None,
    ) -> None:
        numbers = {
            "forget_samples": forget_samples, "samples_per_class": samples_per_class, "steps": steps,
            "feature_dim": feature_dim, "reference_per_class": reference_per_class, "neighbours": neighbours,
            "loss_rows": loss_rows, "batch_size": batch_size, "rows": rows,
        }  # fmt: skip
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ConfigurationError(f"`{name}` must be at least 1. Found {value}. Leave it unset.")
        for name, number in (("guidance", guidance), ("shown", shown)):
            if not number >= 0:
                raise ConfigurationError(f"`{name}` must be 0 or above. Found {number}. Leave it unset.")
        if not 0 <= eta <= 1:
            raise ConfigurationError(f"`eta` must lie in [0, 1]. Found {eta}. Use 0 for DDIM, 1 for DDPM.")
        if sampler not in ("ddim", "ddpm"):
            raise UnknownNameError.among("sampler", sampler, ["ddim", "ddpm"])
        if sampler == "ddpm" and eta:
            raise ConfigurationError(
                f"`eta` must be 0 with sampler=ddpm, which has none. Found {eta}. Leave it unset."
            )
        if features not in ("judge", "inception", "auto"):
            raise UnknownNameError.among("features", features, ["judge", "inception", "auto"])
        if reference not in ("test", "held_out", "retain"):
            raise UnknownNameError.among("reference", reference, ["test", "held_out", "retain"])
        self.judge: Any = judge
        self.forget_samples = forget_samples
        self.samples_per_class = samples_per_class
        self.sampling = Sampling(steps, guidance, eta, sampler, batch_size, seed)
        self.features: Features = features
        self.feature_dim = feature_dim
        self.reference = reference
        self.reference_per_class = reference_per_class
        self.neighbours = neighbours
        self.loss_rows = loss_rows
        self.shown = shown
        self.rows = rows
        self._accuracies: dict[tuple[str, str], float] = {}

    def require(self, datamodule: Any) -> None:
        """Refuse data before a generator is trained on them for long.

        Raises:
            ConfigurationError: FID would have no more images than features, or ``feature_dim`` is above their number.
            DataError: No class is forgotten as a whole, or a class has too few real images.
            DataNotFoundError: Inception's weights are asked for and not within reach.
        """
        _, kept = _sides(datamodule)
        images = datamodule.reference_images(kept, self.reference_per_class, self.reference)
        if not getattr(self.judge, "loaded", False):
            datamodule.held_out_images()
        number = feature_number(self.judge, self.features, datamodule.pixel_traits)
        if number is not None and self.feature_dim is not None:
            require_directions(self.feature_dim, number)
        dimension = self.feature_dim or number
        if dimension is not None and self.rows is None:
            require_enough(dimension, len(images), self.samples_per_class * len(kept), len(kept))

    def evaluate(self, model: Any, datamodule: Any, reference: Evaluation | None = None) -> Evaluation:
        """Return the evaluation as one JSON-able dictionary, the same on every rank.

        Args:
            model: Generates images and has denoising losses (``DiffusionModel``); it may be in any mode.
            datamodule: A ``DiffusionImages`` after ``setup``.
            reference: Evaluation of the retrained model; it must be of the same protocol.

        Raises:
            ConfigurationError: FID has no more images than features.
            DataError: No class is forgotten as a whole, or a class has too few real images.
            MismatchError: The reference is of another protocol or split.
        """
        forgotten, kept = _sides(datamodule)
        device, own_place = next(model.parameters()).device, place(model)
        self._prepare(datamodule, device)
        size = self.sampling.batch_size
        images = datamodule.reference_images(kept, self.reference_per_class, self.reference)
        real = RealImages.of(images, self.judge, self.features, self.feature_dim, size, device)
        each = {label: _fewer(self.forget_samples, self.rows) for label in forgotten}
        each |= {label: _fewer(self.samples_per_class, self.rows) for label in kept}
        if self.rows is None:
            generated = sum(each[label] for label in kept)
            require_enough(real.features.shape[1], len(real.features), generated, len(kept))
        shown = sorted([*forgotten, *kept][:SHOWN_CLASSES])
        number = min(self.shown, *each.values(), _room(datamodule.pixel_traits, len(shown)))
        wanted = list(each.items())
        found = generate(
            model,
            wanted,
            self.sampling,
            self.judge,
            real.network,
            own_place,
            (shown if number else [], number),
        )
        losses = denoising_losses(model, datamodule, _fewer(self.loss_rows, self.rows), size, own_place)
        quality = real.compare(found.features[_among(found, kept)], self.neighbours, self.sampling.seed)
        classes = list(datamodule.classes)
        named = [classes[label] for label in forgotten]
        evaluation: Evaluation = {
            "benchmark": "generation",
            "definitions": DEFINITIONS,
            "comparability": {
                "format": FORMAT,
                "split_hash": datamodule.split.hash,
                "n": losses.n | {"generated": len(found.classes), "real": len(real.features)},
                "row_hashes": losses.hashes,
                "protocol": self._protocol(each[forgotten[0]], each[kept[0]], real),
            },
            "model": describe_model(model),
            "run": describe_run(datamodule, own_place[1]),
            "versions": versions(),
            "failure": losses.failure,
            "summary": _verdicts(found, forgotten, kept) | quality | losses.means,
            "judge": {"name": self.judge.name, "test_accuracy": self._judge_accuracy(datamodule)},
            "accuracy_by_class": {
                classes[label]: found.recognised[found.classes == label].mean().item()
                for label in sorted(each)
            },
            "samples": {
                "classes": [classes[label] for label in found.shown],
                "forgotten": [name for name in named if name in {classes[label] for label in found.shown}],
                "packed": pack_images(torch.stack(list(found.shown.values()))) if number else None,
            },
        }
        return self.with_reference(evaluation, reference)

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation, with a reference of another protocol refused; no number compares with it."""
        if reference is not None:
            require_comparable(evaluation, reference, sets=SETS)
        better = {name: BETTER[name] for name in evaluation["summary"]}
        result: Evaluation = plain(evaluation | {"higher_is_better": better})
        return result

    def _prepare(self, datamodule: Any, device: Any) -> None:
        """Have the judge ready; one that was loaded needs no held-out images."""
        held: Any = (None, None, "")
        if not getattr(self.judge, "loaded", False):
            held = (*datamodule.held_out_images(), datamodule.held_out_digest)
        self.judge.prepare(held[0], held[1], datamodule.pixel_traits, held[2], device)

    def _judge_accuracy(self, datamodule: Any) -> float:
        """Return the fraction of the test images of all classes that the judge takes for what they are."""
        key = (self.judge.digest, datamodule.split.source)
        if key in self._accuracies:
            return self._accuracies[key]
        images, labels = datamodule.real_images("test")
        right = self.judge.read(images)[0].argmax(-1).cpu() == labels
        self._accuracies[key] = float(right.double().mean())
        return self._accuracies[key]

    def _protocol(self, forget: int, kept: int, real: RealImages) -> dict[str, Any]:
        """Return what must be the same where numbers are put side by side."""
        return {
            "forget_samples": forget,
            "samples_per_class": kept,
            **{name: value for name, value in asdict(self.sampling).items() if name != "batch_size"},
            "judge": f"{self.judge.name}; {self.judge.digest}",
            "features": real.name,
            "feature_dim": real.features.shape[1],
            "reference": f"{len(real.features)} {self.reference} images ({real.digest})",
            "neighbours": self.neighbours,
        }


def _sides(datamodule: Any) -> tuple[list[int], list[int]]:
    """Return the classes that are forgotten as a whole, and those that are kept.

    Raises:
        DataError: None is forgotten as a whole.
    """
    kept = list(datamodule.retained_classes)
    forgotten = [label for label in range(len(datamodule.classes)) if label not in kept]
    if not forgotten:
        raise DataError(
            "`forget` must be whole classes: what is asked of a generator is a class. Found "
            f"{datamodule.split.name!r}, which leaves images of every class to retain. Use e.g. forget.classes=[3]."
        )
    return forgotten, kept


def _fewer(count: int | None, rows: int | None) -> Any:
    """Return the smaller number of two, None being no limit."""
    known = [number for number in (count, rows) if number is not None]
    return min(known, default=None)


def _room(traits: ImageTraits, classes: int) -> int:
    """Return how many images of each class can be kept, at least 1.

    >>> _room(ImageTraits(10, 3, 32), 10), _room(ImageTraits(1000, 3, 256), 10)
    (32, 1)
    """
    return max(1, SHOWN_BYTES // (classes * traits.channels * traits.height**2))


def _among(found: Generated, labels: list[int]) -> Tensor:
    """Mark the images that were asked for of some classes, [n] bool."""
    return torch.isin(found.classes, torch.tensor(labels))


def _verdicts(found: Generated, forgotten: list[int], kept: list[int]) -> dict[str, float | None]:
    """Return what the judge says, over the images of each side."""
    numbers: dict[str, float | None] = {}
    for side, labels in (("forget", forgotten), ("retain", kept)):
        chosen = _among(found, labels)
        numbers[f"{side}_accuracy"] = found.recognised[chosen].mean().item()
        numbers[f"{side}_probability"] = found.probabilities[chosen].mean().item()
        numbers[f"{side}_blank"] = found.blank[chosen].double().mean().item()
        if side == "forget":
            numbers["forget_entropy"] = found.entropies[chosen].mean().item()
    return numbers
