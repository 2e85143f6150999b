"""DiffusionImages: images for a generator, of which a part is held out to judge it, and the keys of its noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.artifacts import Split, content_hash
from unlearnkit.batches import ImageTraits, Side
from unlearnkit.datamodules.augmentation import crop_and_flip
from unlearnkit.datamodules.base import EpochLength, TrainOn
from unlearnkit.datamodules.image_files import ImageSet
from unlearnkit.datamodules.image_selection import ForgetSet
from unlearnkit.datamodules.images import Images, _first_of_each, _of_one_kind
from unlearnkit.datamodules.latents import Encoder
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.keyed_draws import derived, row_keys

Source = Literal["test", "held_out", "retain"]
"""Where real images are taken from, to compare generated ones with."""

EVALUATION = -1
"""Round of the keys that batches have outside training; those of probes count down from here."""

MIRRORED = 101
"""Which of a key's descendants says whether an image is mirrored; models use smaller numbers."""


class DiffusionImages(Images):
    """Labelled images for a class-conditional generator.

    Part of the training images is held out of every generator's training, target and reference included: the
    classifier that judges generated images, and whose features they are compared in, learns from these alone. Each
    sample has a key, of which its loss makes time step, noise and dropped class; in training the key is a function
    of (seed, round, row), in evaluation of (seed, row).

    Args:
        source: As for ``Images``.
        forget: What is to be forgotten, of the images that are not held out; default class number 3.
        held_out: Fraction of each class that no generator is trained on; which images is a hash of their row.
        first_classes: Use only so many classes, the first ones; None uses all.
        per_class: Training images of each class to use, its first ones, held-out ones included; None uses all.
        size: Height and width to scale to; None wants all images of one size already.
        flip: Whether half of the training images are mirrored, drawn anew each round; not of latents.
        vae: Folder or name on the hub of an ``AutoencoderKL``: batches then hold latents in place of pixels.
        latents: Folder in which latents are kept from one run to the next; None takes the user's cache.
        forget_batch_size: Forget images in a round, over all ranks.
        retain_batch_size: Retain images in a round, over all ranks.
        train_batch_size: Images in a batch when training on one stream, and when evaluating.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number.
        train_on: ``full`` (target), ``retain`` (retrained reference) or ``pair`` (unlearning).
        micro_batch_size: Images of one side that go through the model at a time, on each process; None takes all.
        data_seed: Seed of what is held out; None is 0, so that all seeds of a run share it.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        DataError: At set-up: a row to be forgotten is held out, or a class has too few images to hold some out.

    >>> data = DiffusionImages("digits")
    >>> data.setup()
    >>> batch = data.batch(0)["forget"]
    >>> batch["targets"].unique().tolist(), batch["keys"].shape
    ([3], torch.Size([64]))
    """

    def __init__(
        self,
        source: str = "digits",
        *,
        forget: ForgetSet | None = None,
        held_out: float = 0.5,
        first_classes: int | None = None,
        per_class: int | None = None,
        size: int | None = None,
        flip: bool = False,
        vae: str | None = None,
        latents: str | None = None,
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
            source,
            forget=forget or ForgetSet(classes=[3]),
            first_classes=first_classes,
            per_class=per_class,
            size=size,
            forget_batch_size=forget_batch_size,
            retain_batch_size=retain_batch_size,
            train_batch_size=train_batch_size,
            epoch_length=epoch_length,
            train_on=train_on,
            micro_batch_size=micro_batch_size,
            data_seed=data_seed,
            seed=seed,
        )
        if not 0 <= held_out < 1:
            raise ConfigurationError(
                f"`held_out` must lie in [0, 1), a fraction of each class. Found {held_out}. Use e.g. 0.5."
            )
        if flip and vae is not None:
            raise ConfigurationError(
                "`flip` must be false with a `vae`: a latent has no mirror image. Found true. Leave it out."
            )
        self.held_out = held_out
        self.flip = flip
        self.vae = vae
        self.latents = latents
        self._latents: tuple[Tensor, Tensor] | None = None
        self._held_out: list[int] = []

    # -------------------------------------------------------------------------------- set-up

    def setup(self, stage: str = "fit") -> None:
        """Read both parts, hold images out, choose what is forgotten; a second call does nothing."""
        if self._train is not None:
            return
        found = self._load("train")
        if self.per_class is not None:
            found = _first_of_each(found, self.per_class)
        held = self._hold_out(found)
        forget, retain = self._chosen(found, held)
        self._held_out = held.nonzero()[:, 0].tolist()
        self._split = Split(
            name=self.forget.name,
            forget=tuple(forget),
            retain=tuple(retain),
            source=f"images {found.digest}, {self.held_out:g} held out of seed {self.data_seed}",
            rows=len(found),
        )
        self._retained = found.labels[torch.tensor(retain)].unique().tolist()  # type: ignore[no-untyped-call]
        self._train = found
        self._test = _of_one_kind(found, self._load("test"), self.source)
        if self.vae is not None:
            encoder = Encoder(self.vae, self.latents)
            self._latents = (encoder.latents(self._train), encoder.latents(self._test))

    @property
    def traits(self) -> ImageTraits:
        """Classes, channels and height of what batches hold, known after ``setup``."""
        pixels = self.pixel_traits
        if self._latents is None:
            return pixels
        _, channels, height, _ = self._latents[0].shape
        return ImageTraits(pixels.classes, channels, height)

    def _hold_out(self, found: ImageSet) -> Tensor:
        """Mark the images that no generator is trained on, [n] bool: of each class those of the smallest hashes."""
        held = torch.zeros(len(found), dtype=torch.bool)
        hashes = row_keys(self.data_seed, EVALUATION, torch.arange(len(found)))
        for label, name in enumerate(found.classes):
            own = (found.labels == label).nonzero()[:, 0]
            count = round(self.held_out * len(own))
            if len(own) and (count == len(own) or (self.held_out and not count)):
                raise DataError(
                    f"`held_out` must leave an image of each class on both sides. Found {count} of {len(own)} images "
                    f"of class {name!r} held out. Use 0.5, or more images of each class (`per_class`)."
                )
            held[own[hashes[own].argsort()][:count]] = True
        return held

    def _chosen(self, found: ImageSet, held: Tensor) -> tuple[list[int], list[int]]:
        """Return the rows to forget and to keep, none of them held out."""
        if self.forget.rows is not None:  # they are numbers of rows of the whole set
            forget, retain = self.forget.choose(found.labels, found.classes)
            lost = [row for row in forget if held[row]]
            if lost:
                raise DataError(
                    f"`forget.rows` must be rows that are not held out. Found {len(lost)} that are, first row "
                    f"{lost[0]}. Leave them out, or set another `held_out` or `data_seed`."
                )
            return forget, [row for row in retain if not held[row]]
        rows = (~held).nonzero()[:, 0]
        sides = self.forget.choose(found.labels[rows], found.classes)
        return rows[list(sides[0])].tolist(), rows[list(sides[1])].tolist()

    @property
    def target_recipe(self) -> str:
        """Packaged configuration that makes a target of these data, with options.

        >>> DiffusionImages("my/pictures").target_recipe
        'ddpm/finetune.yaml --data.source=my/pictures'
        """
        recipe = f"{'ddpm' if self.vae is None else 'dit'}/finetune.yaml"
        return recipe if self.source == "digits" else f"{recipe} --data.source={self.source}"

    # ---------------------------------------------------------------------------- real images

    @property
    def pixel_traits(self) -> ImageTraits:
        """Classes, channels and height of the images themselves, known after ``setup``."""
        return super().traits

    @property
    def held_out_digest(self) -> str:
        """16 hexadecimal digits of what the held-out images are."""
        return content_hash([self.split.source, self._held_out])

    def held_out_images(self) -> tuple[Tensor, Tensor]:
        """Return the images that no generator is trained on, [n, channels, height, width] uint8, and labels [n].

        Raises:
            DataError: There are none.
        """
        train, _ = self._known()
        if not self._held_out:
            raise DataError(
                "`held_out` must be above 0 where a classifier is trained to judge. Found 0. Use held_out=0.5, or "
                "give the judge a saved classifier."
            )
        rows = torch.tensor(self._held_out)
        return train.images[rows], train.labels[rows]

    def real_images(self, part: Source = "test") -> tuple[Tensor, Tensor]:
        """Return real images of all classes, [n, channels, height, width] uint8, and their labels [n].

        Args:
            part: ``test``, ``held_out``, or ``retain`` (what generators are trained on).

        Raises:
            UnknownNameError: There is no such part.
        """
        train, test = self._known()
        if part == "test":
            return test.images, test.labels
        if part == "held_out":
            return self.held_out_images()
        if part != "retain":
            raise UnknownNameError.among("part", part, ["test", "held_out", "retain"])
        rows = torch.tensor(self.split.retain)
        return train.images[rows], train.labels[rows]

    def reference_images(
        self, classes: Sequence[int], per_class: int | None = None, part: Source = "test"
    ) -> Tensor:
        """Return real images of some classes to compare generated ones with, [n, channels, height, width] uint8.

        Args:
            classes: Numbers of the classes.
            per_class: As many of each, the first ones; None takes all.
            part: ``test``, ``held_out``, or ``retain`` (what generators are trained on).

        Raises:
            DataError: A class has fewer images.
            UnknownNameError: There is no such part.
        """
        images, labels = self.real_images(part)
        chosen = []
        for label in classes:
            own = (labels == label).nonzero()[:, 0]
            if len(own) < (per_class or 1):
                raise DataError(
                    f"`per_class` must be at most what each class has among the {part} images. Found {per_class or 1} "
                    f"of class {self.classes[label]!r}, which has {len(own)}. Lower it, or take another part."
                )
            chosen.append(own[:per_class])
        return images[torch.cat(chosen)]

    # ------------------------------------------------------------------------------- samples

    def collate(self, samples: Sequence[int]) -> Any:
        """Cut one batch out: ``inputs`` uint8, or latents fp32; with the keys of evaluation."""
        batch: Any = super().collate(samples)
        index = batch["index"]
        if self._latents is not None:
            train, test = self._latents
            from_test = len(index) and index[0] >= len(train)
            batch["inputs"] = test[index - len(train)] if from_test else train[index]
        return batch | {"keys": row_keys(self.seed, EVALUATION, index)}

    def probe_batch(self, side: Side, round_: int) -> Any:
        """Return a batch of one side drawn independently of training, its noise too: of (seed, round, rank)."""
        return self._keyed(super().probe_batch(side, round_), EVALUATION - 1 - round_)

    def _augmented(self, batch: Any, round_: int) -> Any:
        """Give a training batch, or every batch of a pair or a list, the round's keys, and mirror half of it."""
        return self._keyed(batch, round_, self.flip)

    def _keyed(self, batch: Any, round_: int, flip: bool = False) -> Any:
        if isinstance(batch, list):
            return [self._keyed(part, round_, flip) for part in batch]
        if "inputs" not in batch:
            return {side: self._keyed(part, round_, flip) for side, part in batch.items()}
        keyed = batch | {"keys": row_keys(self.seed, round_, batch["index"])}
        if flip:
            # Other keys than the noise's: whether an image is mirrored must not tell its time step.
            keyed["inputs"] = crop_and_flip(batch["inputs"], derived(keyed["keys"], MIRRORED), 0)
        return keyed
