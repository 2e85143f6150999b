"""Generated images and what a judge says of them, shared among processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unlearnkit.evaluators.ranks import gather, share
from unlearnkit.host import eval_mode
from unlearnkit.keyed_draws import row_keys

ROUND = -1
"""Round of the keys that images are generated with: no training round."""

MANY = 2**24
"""More images than anybody asks of a class: the key of image i of class c is that of row c * MANY + i."""


@dataclass(frozen=True)
class Sampling:
    """How images are generated.

    Attributes:
        steps: Of the sampler.
        guidance: The s of eps = (1 + s) cond - s uncond; 0 is the conditional model alone.
        eta: Noise of DDIM's steps: 0 is deterministic, 1 as much as DDPM's.
        sampler: ``ddim`` or ``ddpm``.
        batch_size: Images at a time.
        seed: Of the images' noise.
    """

    steps: int
    guidance: float
    eta: float
    sampler: str
    batch_size: int
    seed: int


class Judge(Protocol):
    """What is asked of a judge; ``HeldOutClassifier`` has it."""

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    @property
    def digest(self) -> str:
        """Says whether two judges are the same."""
        ...

    def prepare(self, images: Any, labels: Any, traits: Any, digest: str, device: Any) -> None:
        """Train on held-out images."""
        ...

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [n, classes] and features [n, features]."""
        ...


class Generator(Protocol):
    """What is asked of a model; ``DiffusionModel`` has it."""

    def sample(
        self,
        classes: Tensor,
        *,
        steps: int,
        guidance: float,
        eta: float,
        sampler: str,
        keys: Tensor,
        batch_size: int,
    ) -> Tensor:
        """Return images [n, channels, height, width], uint8; each a function of its class and key."""
        ...


class FeatureNetwork(Protocol):
    """In what images are compared."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return features [n, d] of images [n, channels, height, width], uint8."""
        ...


@dataclass(frozen=True)
class Generated:
    """Images that were asked for, on the CPU in the order of the requests.

    Attributes:
        classes: Class asked for, [n].
        log_probabilities: What the judge says, [n, classes], nats.
        features: In which they are compared with real ones, [n, d].
        blank: Which are all black or all white, [n] bool.
        shown: The first images of some classes, by class, [k, channels, height, width] each.
    """

    classes: Tensor
    log_probabilities: Tensor
    features: Tensor
    blank: Tensor
    shown: dict[int, Tensor]

    @property
    def recognised(self) -> Tensor:
        """Which images the judge takes for the class asked for, [n], 0 or 1; of a blank one it is not asked."""
        return ((self.log_probabilities.argmax(-1) == self.classes) & ~self.blank).double()

    @property
    def probabilities(self) -> Tensor:
        """Probability of the class asked for, [n]."""
        return self.log_probabilities.gather(1, self.classes[:, None])[:, 0].double().exp()

    @property
    def entropies(self) -> Tensor:
        """Entropy of the judge's prediction, [n], nats."""
        logs = self.log_probabilities.double()
        return -(logs.exp() * logs.clamp(min=-1e4)).sum(-1)


def generate(
    model: Any,
    wanted: Sequence[tuple[int, int]],
    sampling: Sampling,
    judge: Judge,
    features: FeatureNetwork | None,
    place: tuple[int, int],
    shown: tuple[Sequence[int], int] = ((), 0),
) -> Generated:
    """Generate images and have them judged; the same result on every rank.

    Args:
        model: A ``Generator``, in any mode; it is left in it.
        wanted: Class and number of images of each.
        sampling: How.
        judge: Says what they show.
        features: In what they are compared with real ones; None takes the judge's.
        place: Rank and number of processes that share the images.
        shown: Of which classes how many images are kept.
    """
    rank, world = place
    # Class by class in turn, so that processes get as many images of each.
    requests = [(label, number) for label, count in wanted for number in range(count)]
    own = share(requests, rank, world)
    device = next(model.parameters()).device
    kept, limit = set(shown[0]), shown[1]
    found: list[tuple[Tensor, Tensor, bool, Tensor | None]] = []
    network: nn.Module = model
    with torch.no_grad(), eval_mode(network):
        for low in range(0, len(own), sampling.batch_size):
            part = own[low : low + sampling.batch_size]
            pair = torch.tensor(part, dtype=torch.int64, device=device)
            images = model.sample(
                pair[:, 0],
                steps=sampling.steps,
                guidance=sampling.guidance,
                eta=sampling.eta,
                sampler=sampling.sampler,
                keys=row_keys(sampling.seed, ROUND, pair[:, 0] * MANY + pair[:, 1]),
                batch_size=sampling.batch_size,
            )
            logs, seen = judge.read(images)
            seen = seen if features is None else features(images)
            flat = images.flatten(1)
            blank = (flat == 0).all(-1) | (flat == 255).all(-1)
            pictures = [
                image.cpu().clone() if label in kept and number < limit else None
                for (label, number), image in zip(part, images, strict=True)
            ]
            # Copies: a view of the batch would send all of it along with each row.
            copies = (map(torch.clone, tensor.cpu()) for tensor in (logs, seen))
            found += zip(*copies, blank.tolist(), pictures, strict=True)
    rows = gather(found, world)
    labels = [label for label, _ in requests]
    by_class = {
        label: [row[3] for row, own in zip(rows, labels, strict=True) if own == label] for label in kept
    }
    return Generated(
        torch.tensor(labels),
        torch.stack([row[0] for row in rows]),
        torch.stack([row[1] for row in rows]),
        torch.tensor([row[2] for row in rows]),
        {label: torch.stack([image for image in by_class[label] if image is not None]) for label in shown[0]},
    )
