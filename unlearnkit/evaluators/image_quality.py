"""How near generated images are to real ones: FID, KID, precision and recall in features that are named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, DataNotFoundError
from unlearnkit.evaluators.generated import Judge
from unlearnkit.metrics.functional.feature_distances import frechet_distance, kernel_distance
from unlearnkit.metrics.functional.precision_recall import precision_recall

Features = Literal["judge", "inception", "auto"]

INCEPTION_FEATURES = 2048
INCEPTION = f"inception-v3-compat, {INCEPTION_FEATURES}"
"""The features of the published FID."""

QUALITY = ("fid", "kid", "precision", "recall")

KEPT = 2
"""Sets of real images whose features stay in memory: a path is evaluated again and again beside them."""


@dataclass(frozen=True)
class RealImages:
    """Real images in the features in which generated ones are compared with them.

    Attributes:
        name: Which features, and of which weights.
        network: Makes features of images; None takes those that the judge's own pass gives.
        features: Of the real images, [n, d], on the CPU.
        basis: What features are multiplied by, [features, d]: directions to take, and a judge's are brought to a mean
            square of 1 over the real images, as the kernel of KID is made for values of about that size; None takes
            them as they are.
        digest: Says which images they are.
    """

    name: str
    network: nn.Module | None
    features: Tensor
    basis: Tensor | None
    digest: str

    @classmethod
    def of(
        cls,
        images: Tensor,
        judge: Judge,
        features: Features,
        dimension: int | None,
        batch_size: int,
        device: Any,
    ) -> RealImages:
        """Read real images once.

        Args:
            images: [n, channels, height, width], uint8.
            judge: Prepared.
            features: Whose; ``auto`` takes Inception's where they can be had, else the judge's.
            dimension: Take only so many directions of the features, those in which the images vary most.
            batch_size: Images at a time.
            device: Where Inception runs.

        Raises:
            DataNotFoundError: Inception's weights, or the package that loads them, are not within reach.
            ConfigurationError: There are fewer features than ``dimension``.
        """
        digest = hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16]
        key = (digest, judge.digest, features, dimension, str(device))
        if key not in _READ:
            for oldest in list(_READ)[: len(_READ) + 1 - KEPT]:
                del _READ[oldest]
            _READ[key] = cls._read(images, judge, features, dimension, batch_size, device, digest)
        return _READ[key]

    @classmethod
    def _read(
        cls,
        images: Tensor,
        judge: Judge,
        features: Features,
        dimension: int | None,
        batch_size: int,
        device: Any,
        digest: str,
    ) -> RealImages:
        network, name = None, f"judge ({judge.name}; {judge.digest}), mean square 1"
        if features != "judge":
            try:
                network, name = inception(device), INCEPTION
            except DataNotFoundError:
                if features == "inception":
                    raise
        read: Callable[[Tensor], Tensor] = network or (lambda part: judge.read(part)[1])
        with torch.no_grad():
            found = torch.cat([read(part).float().cpu() for part in torch.split(images, batch_size)])
        basis = None if dimension is None else main_directions(found, dimension)
        if network is None:
            whole = torch.eye(found.shape[1], dtype=torch.float64) if basis is None else basis
            basis = whole / found.double().square().mean().sqrt().clamp(min=1e-12)
        return cls(name, network, found if basis is None else found.double() @ basis, basis, digest)

    def compare(self, generated: Tensor, neighbours: int, seed: int) -> dict[str, float | None]:
        """Return the four numbers, None where there are too few images.

        Args:
            generated: Features as the network gives them, [m, features].
            neighbours: The k of precision and recall.
            seed: Of KID's subsets.
        """
        own = generated if self.basis is None else generated.double() @ self.basis
        numbers: dict[str, float | None] = dict.fromkeys(QUALITY)
        fewest = min(len(own), len(self.features))
        if not own.isfinite().all():
            return numbers
        if fewest > self.features.shape[1]:
            numbers["fid"] = frechet_distance(self.features, own)
        if fewest > 1:
            numbers["kid"] = kernel_distance(self.features, own, seed)
        if fewest > neighbours:
            numbers["precision"], numbers["recall"] = precision_recall(self.features, own, neighbours)
        return numbers


_READ: dict[tuple[Any, ...], RealImages] = {}


def require_enough(dimension: int, real: int, generated: int, classes: int) -> None:
    """Refuse an FID whose covariances would be singular.

    Args:
        dimension: Number of features.
        real: Number of real images.
        generated: Number of generated images.
        classes: Number of classes that both are of.

    Raises:
        ConfigurationError: There are no more generated or real images than features.

    >>> require_enough(dimension=64, real=500, generated=65, classes=9)
    """
    least = dimension // classes + 1
    for name, count in (("samples_per_class", generated), ("reference_per_class", real)):
        if count <= dimension:
            raise ConfigurationError(
                f"`{name}` must give more images than there are features ({dimension}), or FID is of singular "
                f"covariances. Found {count} images of {classes} classes. Use {name}={least} or more where there "
                f"are as many, or fewer features, e.g. feature_dim={max(1, count // 4)}."
            )


def require_directions(count: int, features: int) -> None:
    """Refuse more directions than there are features.

    Raises:
        ConfigurationError: There are more.
    """
    if count > features:
        raise ConfigurationError(
            f"`feature_dim` must be at most the number of features. Found {count} of {features}. "
            "Leave it unset to take all."
        )


def feature_number(judge: Any, features: Features, traits: ImageTraits) -> int | None:
    """Return the number of features in which images will be compared, with no judge trained for it.

    Args:
        judge: Of a ``HeldOutClassifier`` the network is built, with the weights that it will be trained from; of one's
            own, which need not say its number, it is None.
        features: Whose.
        traits: Of the images.

    Raises:
        DataNotFoundError: Inception's weights, or the package that loads them, are not within reach.
        ConfigurationError: A loaded judge has other numbers of classes or channels.
    """
    if features != "judge":
        try:
            inception("cpu")
            return INCEPTION_FEATURES
        except DataNotFoundError:
            if features == "inception":
                raise
    if not hasattr(judge, "classifier"):
        return None
    judge.classifier.materialize(traits)
    number: int = judge.num_features
    return number


def inception(device: Any) -> nn.Module:
    """Return the network of the published FID: 2048 features of images [n, 1 or 3, height, width], uint8.

    Raises:
        DataNotFoundError: Its weights, or the package that loads them, are not within reach.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        network = NoTrainInceptionV3("inception-v3-compat", [str(INCEPTION_FEATURES)])
    except (ImportError, OSError, RuntimeError) as error:
        raise DataNotFoundError(
            "`features` inception must have its weights within reach. Found none "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]}) Use features=judge, or features=auto, which "
            "takes Inception's only where they are; or install torch-fidelity and run once with a network."
        ) from error
    return _Coloured(network).to(device)


class _Coloured(nn.Module):
    """Give grey images three channels: Inception has been taught colours."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        coloured = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        found: Tensor = self.network(coloured.to(device))
        return found


def main_directions(real: Tensor, count: int) -> Tensor:
    """Return the directions in which real images' features vary most, [features, count]: an orthonormal basis.

    Args:
        real: Features, [n, features].
        count: How many.

    Raises:
        ConfigurationError: There are fewer features.

    >>> real = torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.1, 0.0]])
    >>> main_directions(real, 1).abs().round().tolist()
    [[0.0], [1.0]]
    """
    require_directions(count, real.shape[1])
    # Of the covariance, not of the samples: of fewer samples than directions this is still a basis.
    vectors: Tensor = torch.linalg.eigh(torch.cov(real.double().T)).eigenvectors
    return vectors.flip(-1)[:, :count]
