"""Images: a labelled image data set, part of which is to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.artifacts import Split
from unlearnkit.batches import ImageTraits, LabelledBatch
from unlearnkit.datamodules.augmentation import crop_and_flip
from unlearnkit.datamodules.base import EpochLength, ForgetRetainDataModule, Part, TrainOn
from unlearnkit.datamodules.image_files import ImageSet, load_images
from unlearnkit.datamodules.image_selection import ForgetSet
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.keyed_draws import row_keys

Augmentation = Literal["none", "crop", "crop_flip"]

PACKAGED = {
    "digits": "digits",
    "uoft-cs/cifar10": "cifar10",
    "uoft-cs/cifar100": "cifar100",
    "zh-plus/tiny-imagenet": "tiny_imagenet",
}
"""Sources of the packaged configurations, and the folders that these are in."""


class Images(ForgetRetainDataModule):
    """CIFAR-10, CIFAR-100, TinyImageNet, digits or any other set of labelled images of one size.

    Images are decoded once and kept as bytes on the CPU; a batch is cut out of them, moved as bytes and augmented
    on the device. The model normalises. One split serves target, retrained reference and unlearning, and its hash
    covers the pixels.

    Args:
        source: ``digits``, a folder in the hub's layout or of ``train/<class>/``, or a name such as
            ``uoft-cs/cifar10`` on the hub.
        forget: What is to be forgotten; default a random tenth.
        label_noise: Fraction of the training labels that are replaced by another class. Only having seen such an
            image tells its label, which is what gives a random forget set of an easy data set a signal at all.
        first_classes: Use only so many classes, the first ones; None uses all.
        per_class: Training images of each class to use, its first ones; None uses all.
        size: Height and width to scale to; None wants all images of one size already.
        augment: What is done to training images: ``none``, ``crop`` (shift by up to an eighth, at most
            four pixels), ``crop_flip``.
        forget_batch_size: Forget images in a round, over all ranks.
        retain_batch_size: Retain images in a round, over all ranks.
        train_batch_size: Images in a batch when training on one stream, and when evaluating.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number.
        train_on: ``full`` (target), ``retain`` (retrained reference) or ``pair`` (unlearning).
        micro_batch_size: Images of one side that go through the model at a time, on each process; None takes all.
        data_seed: Seed of the label noise; None is 0, so that all seeds of a run share it.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: A name is not one of those above.

    >>> data = Images("digits", forget=ForgetSet(classes=[3]))
    >>> data.setup()
    >>> data.batch(0)["forget"]["targets"].unique().tolist()
    [3]
    """

    def __init__(
        self,
        source: str = "digits",
        *,
        forget: ForgetSet | None = None,
        label_noise: float = 0.0,
        first_classes: int | None = None,
        per_class: int | None = None,
        size: int | None = None,
        augment: Augmentation = "none",
        forget_batch_size: int = 64,
        retain_batch_size: int = 64,
        train_batch_size: int = 64,
        epoch_length: EpochLength = "forget",
        train_on: TrainOn = "pair",
        micro_batch_size: int | None = None,
        data_seed: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            forget_batch_size=forget_batch_size,
            retain_batch_size=retain_batch_size,
            train_batch_size=train_batch_size,
            epoch_length=epoch_length,
            train_on=train_on,
            micro_batch_size=micro_batch_size,
            seed=seed,
        )
        if not 0 <= label_noise < 1:
            raise ConfigurationError(
                f"`label_noise` must lie in [0, 1), a fraction of the labels. Found {label_noise}. Use e.g. 0.1."
            )
        if per_class is not None and per_class < 1:
            raise ConfigurationError(
                f"`per_class` must be at least 1. Found {per_class}. Leave it unset to use all images."
            )
        if first_classes is not None and first_classes < 2:
            raise ConfigurationError(
                f"`first_classes` must be at least 2. Found {first_classes}. Leave it unset to use all classes."
            )
        if augment not in ("none", "crop", "crop_flip"):
            raise UnknownNameError.among("augment", augment, ["none", "crop", "crop_flip"])
        self.source = source
        self.forget = forget or ForgetSet(fraction=0.1)
        self.label_noise = label_noise
        self.first_classes = first_classes
        self.per_class = per_class
        self.size = size
        self.augment: Augmentation = augment
        self.data_seed = data_seed or 0
        self.evaluation_names = ["forget", "retain", "test"]
        self._train: ImageSet | None = None
        self._test: ImageSet | None = None
        self._retained: list[int] = []

    # -------------------------------------------------------------------------------- set-up

    def setup(self, stage: str = "fit") -> None:
        """Read both parts, put the noise in, choose what is forgotten; a second call does nothing."""
        if self._train is not None:
            return
        found = self._load("train")
        if self.per_class is not None:
            found = _first_of_each(found, self.per_class)
        # By true labels: noise must not decide what a class is.
        forget, retain = self.forget.choose(found.labels, found.classes)
        noise = f", {self.label_noise:g} label noise of seed {self.data_seed}" if self.label_noise else ""
        self._split = Split(
            name=self.forget.name,
            forget=tuple(forget),
            retain=tuple(retain),
            source=f"images {found.digest}{noise}",
            rows=len(found),
        )
        self._retained = found.labels[torch.tensor(retain)].unique().tolist()  # type: ignore[no-untyped-call]
        self._train = ImageSet(found.images, self._noisy(found), found.classes)
        self._test = _of_one_kind(self._train, self._load("test"), self.source)

    def _load(self, part: Literal["train", "test"]) -> ImageSet:
        """Read one part, of the first classes only where so asked."""
        found = load_images(self.source, part, self.size)
        if self.first_classes is None:
            return found
        if self.first_classes > len(found.classes):
            raise DataError(
                f"`first_classes` must be at most the number of classes. Found {self.first_classes} of the "
                f"{len(found.classes)} classes of {self.source!r}. Lower it, or leave it unset."
            )
        kept = found.labels < self.first_classes
        return ImageSet(found.images[kept], found.labels[kept], found.classes[: self.first_classes])

    def _noisy(self, found: ImageSet) -> Tensor:
        """Return the labels to train on."""
        generator = torch.Generator().manual_seed(self.data_seed)
        n, classes = len(found), len(found.classes)
        replaced = torch.rand(n, generator=generator) < self.label_noise
        shift = torch.randint(1, max(2, classes), (n,), generator=generator)
        return torch.where(replaced, (found.labels + shift) % classes, found.labels)

    def _known(self) -> tuple[ImageSet, ImageSet]:
        if self._train is None or self._test is None:
            raise ConfigurationError(
                "`images` are known after setup. Found Images before it. Call .setup() first."
            )
        return self._train, self._test

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, known after ``setup``."""
        return self._known()[0].classes

    @property
    def target_recipe(self) -> str:
        """Packaged configuration that makes a target of these data, with options; of other data the nearest one.

        >>> Images("digits").target_recipe, Images("my/cifar100").target_recipe
        ('digits/finetune.yaml', 'cifar100/finetune.yaml --data.source=my/cifar100')
        """
        last = Path(self.source).name
        folder = next((own for source, own in PACKAGED.items() if Path(source).name == last), "cifar10")
        recipe = f"{folder}/finetune.yaml"
        return recipe if self.source in PACKAGED else f"{recipe} --data.source={self.source}"

    @property
    def retained_classes(self) -> list[int]:
        """Classes of which an image is retained, by their true labels; known after ``setup``."""
        self._known()
        return self._retained

    @property
    def traits(self) -> ImageTraits:
        """Classes, channels and height, known after ``setup``."""
        train, _ = self._known()
        _, channels, height, _ = train.images.shape
        return ImageTraits(len(train.classes), channels, height)

    # ------------------------------------------------------------------------------- samples

    def samples(self, part: Part) -> Sequence[int]:
        """Return the row numbers of one side, or of the single stream that ``train_on`` says."""
        split = self.split
        if part == "train":
            return split.forget + split.retain if self.train_on == "full" else split.retain
        return split.forget if part == "forget" else split.retain

    def evaluation_samples(self, name: str) -> Sequence[int]:
        """Return the rows of one evaluation set; those of ``test`` are counted on after the training images."""
        if name == "test":
            train, test = self._known()
            return range(len(train), len(train) + len(test))
        return super().evaluation_samples(name)

    def collate(self, samples: Sequence[int]) -> LabelledBatch:
        """Cut one batch out: ``inputs`` [batch, channels, height, width] uint8, not augmented."""
        train, test = self._known()
        index = torch.tensor(list(samples), dtype=torch.int64)
        part, rows = (test, index - len(train)) if len(index) and index[0] >= len(train) else (train, index)
        return {"inputs": part.images[rows], "targets": part.labels[rows], "index": index}

    def batches(self, name: str) -> Iterator[LabelledBatch]:
        """Go once through an evaluation set in order, in large batches."""
        yield from self._in_batches(self.evaluation_samples(name))

    # --------------------------------------------------------------------------- augmentation

    def batch(self, round_: int) -> Any:
        """Return the batch of one round on this rank, as training gets it, without any loader."""
        return self._augmented(super().batch(round_), round_)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment a training batch on its device; an image's draws are those of (seed, round, row)."""
        training = self.trainer is not None and self.trainer.training
        return self._augmented(batch, self._rounds_done()) if training else batch

    def _augmented(self, batch: Any, round_: int) -> Any:
        """Augment one batch, or every batch of a pair or a list."""
        if self.augment == "none":
            return batch
        if isinstance(batch, list):
            return [self._augmented(part, round_) for part in batch]
        if "inputs" not in batch:
            return {side: self._augmented(part, round_) for side, part in batch.items()}
        images, keys = batch["inputs"], row_keys(self.seed, round_, batch["index"])
        shifted = crop_and_flip(images, keys, min(4, images.shape[-1] // 8), flip=self.augment == "crop_flip")
        return batch | {"inputs": shifted}


def _of_one_kind(train: ImageSet, test: ImageSet, source: str) -> ImageSet:
    """Return the test images in the form of the training images; refuse what cannot be classified alike."""
    if train.images.shape[1] == 3 and test.images.shape[1] == 1:
        test = ImageSet(test.images.expand(-1, 3, -1, -1), test.labels, test.classes)
    pairs: dict[str, tuple[list[Any], list[Any]]] = {
        "classes": (list(train.classes), list(test.classes)),
        "channels, height and width": (list(train.images.shape[1:]), list(test.images.shape[1:])),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            raise DataError(
                f"`source` must have the same {what} in its training and test part. Found {_shown(wanted)} and "
                f"{_shown(found)} in {source!r}. Give both parts one form."
            )
    outside = ((test.labels < 0) | (test.labels >= len(train.classes))).nonzero()[:, 0].tolist()
    if outside:
        raise DataError(
            f"`source` must have a label from 0 to {len(train.classes) - 1} for each test image. Found "
            f"{int(test.labels[outside[0]])} at row {outside[0]} of the test part of {source!r}: a test part without "
            "labels is of no use here. Use one that has them, e.g. the validation part."
        )
    return test


def _shown(found: list[Any]) -> str:
    return str(found) if len(found) <= 5 else f"{len(found)} ({', '.join(map(str, found[:3]))}, ...)"


def _first_of_each(found: ImageSet, count: int) -> ImageSet:
    """Keep the first images of each class."""
    rank = torch.zeros(len(found), dtype=torch.int64)
    for label in range(len(found.classes)):
        own = found.labels == label
        rank[own] = torch.arange(int(own.sum()))
    kept = rank < count
    return ImageSet(found.images[kept], found.labels[kept], found.classes)
