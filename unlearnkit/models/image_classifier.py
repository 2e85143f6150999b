"""ImageClassifier: any network for images behind the one model protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from unlearnkit.artifacts import atomic_folder, atomic_write_json, read_json
from unlearnkit.batches import ImageTraits, LabelledBatch
from unlearnkit.errors import ArtifactError, ConfigurationError, DataNotFoundError
from unlearnkit.models.batch_statistics import still_statistics
from unlearnkit.models.image_network import Stem, build_network
from unlearnkit.models.precision import widened

DESCRIPTION = "image_classifier.json"
WEIGHTS = "model.safetensors"

Levels = tuple[float, ...]

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's training pixels, in [0, 1]; near enough for every set of natural images."""


@dataclass(frozen=True)
class _Description:
    """What ``save`` writes beside the weights."""

    network: str
    stem: str
    resize: int | None
    mean: Levels
    std: Levels
    classes: int
    channels: int
    height: int
    pretrained: bool = False


class ImageClassifier(nn.Module):
    """Classify images: bytes in, logits out.

    Images are brought to [0, 1] and normalised here, so that a saved model is used on raw images alike. The network
    is built as soon as the data are known (``materialize``), or loaded by the name of a folder that ``save`` wrote.

    Args:
        name: Folder of a saved classifier; None builds a network.
        network: ``small``, or the name of a classification model of torchvision (``resnet18``) or timm
            (``swin_tiny_patch4_window7_224``).
        stem: How a ResNet begins: ``cifar``, ``imagenet``, or ``auto`` by the images' size.
        pretrained: Whether to start from the library's published weights (needs the network).
        resize: Height and width to which images are scaled (bicubic) before the network; None leaves them.
        mean: Mean of each channel in [0, 1]; None takes CIFAR-10's for colour, 0.5 for grey.
        std: Standard deviation of each channel; None as for ``mean``.
        seed: Seed of the weights built from scratch.

    Raises:
        DataNotFoundError: There is no such folder.
        ArtifactError: The folder holds no classifier, or a broken one.
        ConfigurationError: A number is out of its range.

    >>> model = ImageClassifier()
    >>> model.materialize(ImageTraits(classes=10, channels=1, height=8))
    >>> batch = {"inputs": torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "targets": torch.tensor([0, 1])}
    >>> model.losses(batch).shape
    torch.Size([2])
    """

    network: nn.Module

    def __init__(
        self,
        name: str | None = None,
        *,
        network: str = "small",
        stem: Stem = "auto",
        pretrained: bool = False,
        resize: int | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if resize is not None and resize < 1:
            raise ConfigurationError(
                f"`resize` must be at least 1. Found {resize}. Leave it unset, or use e.g. 224."
            )
        if std is not None and not all(value > 0 for value in std):
            raise ConfigurationError(
                f"`std` must be above 0 in each channel. Found {std}. Use e.g. [0.25, 0.25, 0.25]."
            )
        self.name = name
        self.network_name = network
        self.stem: Stem = stem
        self.pretrained = pretrained
        self.resize = resize
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)
        self.seed = seed
        self.traits: ImageTraits | None = None
        if name is not None:
            self._load(Path(name).expanduser())

    @property
    def built(self) -> bool:
        """Whether the network is there."""
        return "network" in self._modules

    @property
    def origin(self) -> str:
        """Where the weights come from: ``from scratch``, published weights, or a folder, and what it started from."""
        published = f"published weights of {self.network_name}" if self.pretrained else None
        if self.name is None:
            return published or "from scratch"
        return self.name if published is None else f"{self.name}, from {published}"

    def materialize(self, traits: ImageTraits, weights: bool = True) -> None:
        """Build the network for these data; a loaded or built one stays as it is.

        Args:
            traits: What the data are like.
            weights: Whether ``pretrained`` weights are loaded; False where others are about to take their place.

        Raises:
            ConfigurationError: The network has other numbers of classes or channels.
            UnknownNameError: There is no such network.
        """
        if self.traits is not None:
            if (self.traits.classes, self.traits.channels) != (traits.classes, traits.channels):
                raise ConfigurationError(
                    f"`model` must have the data's classes and channels ({traits.classes}, {traits.channels}). "
                    f"Found a network with ({self.traits.classes}, {self.traits.channels}). "
                    "Use the data it was trained on, or build a new one."
                )
            return
        self._build(traits, self.pretrained and weights)

    def _build(self, traits: ImageTraits, pretrained: bool) -> None:
        height = self.resize or traits.height
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = build_network(
                self.network_name, traits.classes, traits.channels, height, self.stem, pretrained
            )
        grey = traits.channels == 1
        mean = self.mean or ((0.5,) if grey else CIFAR_MEAN)
        std = self.std or ((0.5,) if grey else CIFAR_STD)
        if not len(mean) == len(std) == traits.channels:
            raise ConfigurationError(
                f"`mean` and `std` must have a number for each of the {traits.channels} channels. "
                f"Found {len(mean)} and {len(std)}. Leave them unset for the defaults."
            )
        self.mean, self.std, self.traits = mean, std, traits
        self.network = network.train()

    # ------------------------------------------------------------------------------- protocol

    def forward(self, batch: LabelledBatch) -> Tensor:
        """Return logits [batch, classes] in the network's type."""
        images = batch["inputs"]
        weight = next(self.network.parameters())
        images = images.to(weight.dtype).div(255) if images.dtype == torch.uint8 else images.to(weight.dtype)
        size = len(images)
        if not size:  # a rank without a sample must do what the others do
            images = images.new_zeros(2, *images.shape[1:])  # batch norm may refuse one
        if self.resize is not None and images.shape[-1] != self.resize:
            images = interpolate(images, (self.resize, self.resize), mode="bicubic", antialias=False)
        mean, std = images.new_tensor(self.mean), images.new_tensor(self.std)
        images = (images - mean[:, None, None]) / std[:, None, None]
        if not size:
            with still_statistics(self.network):
                nothing: Tensor = self.network(images)
            return nothing[:0]
        try:
            logits: Tensor = self.network(images)
        except ValueError as error:
            if size > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ConfigurationError(
                f"`batch_size` (or `micro_batch_size`) must give {self.network_name!r} two images at a time or more: "
                "its batch norm meets feature maps of one pixel. Found one image. Raise it, use fewer processes or "
                "steps a round, or add the callback FrozenStatistics."
            ) from error
        return logits

    def losses(self, batch: LabelledBatch) -> Tensor:
        """Return the cross-entropy of each image, [batch], nats."""
        return cross_entropy(widened(self(batch)), batch["targets"], reduction="none")

    def counts(self, batch: LabelledBatch) -> Tensor:
        """Return ones, [batch]: an image is one unit."""
        return torch.ones_like(batch["targets"])

    def units(self, batch: LabelledBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return fp32 logits [batch, 1, classes], targets [batch, 1] and mask [batch, 1]."""
        targets = batch["targets"][:, None]
        return widened(self(batch))[:, None], targets, torch.ones_like(targets, dtype=torch.bool)

    # -------------------------------------------------------------------------------- folders

    def save(self, folder: str | Path, traits: Any = None) -> None:
        """Write the weights in safetensors and what the network is, whole or not at all."""
        from safetensors.torch import save_model

        assert self.traits is not None
        assert self.mean is not None
        assert self.std is not None
        with atomic_folder(Path(folder)) as temporary:
            save_model(self.network, str(temporary / WEIGHTS))
            kept = _Description(
                network=self.network_name, stem=self.stem, resize=self.resize, mean=self.mean, std=self.std,
                pretrained=self.pretrained, **asdict(self.traits),
            )  # fmt: skip
            atomic_write_json(temporary / DESCRIPTION, {"format": 1, **asdict(kept)})

    def _load(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        if not (folder / DESCRIPTION).is_file():
            raise DataNotFoundError(
                f"`name` must be a folder that an ImageClassifier was saved in, with {DESCRIPTION}. "
                f"Found {str(folder)!r} without. Leave `name` unset to build a network."
            )
        found = _description(folder / DESCRIPTION)
        self.network_name, self.stem, self.resize = found.network, found.stem, found.resize  # type: ignore[assignment]
        self.mean, self.std, self.pretrained = found.mean, found.std, found.pretrained
        self._build(ImageTraits(found.classes, found.channels, found.height), pretrained=False)
        try:
            load_model(self.network, str(folder / WEIGHTS))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ArtifactError(
                f"`name` must be a folder with whole weights. Found {str(folder / WEIGHTS)!r}, which cannot be read "
                f"({str(error).partition(chr(10))[0]}). Save the model again."
            ) from error


def _description(path: Path) -> _Description:
    """Read what ``save`` wrote beside the weights.

    Raises:
        ArtifactError: It is not whole, or of another format.
    """
    kept = read_json(path)
    kinds: dict[str, tuple[type, ...]] = {
        "network": (str,), "stem": (str,), "resize": (int, type(None)), "mean": (list,), "std": (list,),
        "classes": (int,), "channels": (int,), "height": (int,), "pretrained": (bool,),
    }  # fmt: skip
    known: dict[str, Any] = {"pretrained": False} | (kept if isinstance(kept, dict) else {})
    wrong = [name for name, kind in kinds.items() if name not in known or not isinstance(known[name], kind)]
    if wrong or known.get("format") != 1:
        found = f"{', '.join(wrong)} missing or of another kind" if wrong else f"format {known.get('format')}"
        raise ArtifactError(
            f"`{path}` must describe a network in format 1, as ImageClassifier.save writes it. Found {found}. "
            "Save or export the model again with this version."
        )
    values = {name: known[name] for name in kinds}
    return _Description(**values | {"mean": tuple(known["mean"]), "std": tuple(known["std"])})
