"""HeldOutClassifier: the judge of generated images, which no generator's training images have taught."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.artifacts import content_hash
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError
from unlearnkit.host import eval_mode
from unlearnkit.models.image_classifier import ImageClassifier

_TRAINED: dict[str, dict[str, Tensor]] = {}
"""Weights of the judges that this process has trained, by what decides them: a comparison trains one a split."""


class HeldOutClassifier(nn.Module):
    """Say what generated images show, and in which features they are compared with real ones.

    A classifier that was trained on the generator's own images calls nearly everything right; this one learns from
    the held-out images alone. The features are what goes into its last linear layer.

    Args:
        classifier: The network; default an ``ImageClassifier`` of its smallest kind. One that was loaded by the name
            of a folder is used as it is and not trained.
        epochs: Passes over the held-out images.
        lr: Peak learning rate of AdamW; it falls to 0 in a cosine.
        batch_size: Images in a batch, of training and of judging.
        seed: Seed of the order of the images; the classifier's own seed is that of its weights.

    Raises:
        ConfigurationError: A number is out of its range.

    >>> images = torch.randint(0, 256, (32, 1, 8, 8), dtype=torch.uint8)
    >>> judge = HeldOutClassifier(epochs=1)
    >>> judge.prepare(images, torch.arange(32) % 4, ImageTraits(4, 1, 8), "noise")
    >>> judge.log_probabilities(images).shape, judge.features(images).shape
    (torch.Size([32, 4]), torch.Size([32, 64]))
    """

    def __init__(
        self,
        classifier: ImageClassifier | None = None,
        *,
        epochs: int = 30,
        lr: float = 3e-3,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("epochs", epochs), ("lr", lr), ("batch_size", batch_size)):
            if not value > 0:
                raise ConfigurationError(f"`{name}` must be above 0. Found {value}. Leave it unset.")
        self.classifier = ImageClassifier() if classifier is None else classifier
        self.loaded = self.classifier.built
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.seed = seed
        self._prepared: str | None = None

    @property
    def name(self) -> str:
        """What it is called in results."""
        network = self.classifier.network_name
        if self.loaded:
            return f"{network}, loaded from {self.classifier.origin}"
        return f"{network}, {self.classifier.origin}, trained on held-out images"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of what decides what it says; of a loaded one, of its weights."""
        if self._prepared is None:
            raise ConfigurationError(
                "`judge` must be prepared before it is used. Found one that is not. Call prepare(images, ...) first."
            )
        return self._prepared

    @torch.inference_mode(False)  # a trainer that tests calls this inside it, where nothing can be trained
    def prepare(
        self, images: Tensor, labels: Tensor, traits: ImageTraits, digest: str, device: Any = "cpu"
    ) -> None:
        """Train on the held-out images, or take the weights that this process has trained on them before.

        Args:
            images: [n, channels, height, width], uint8; of a loaded classifier none are needed.
            labels: [n], int64.
            traits: What the images are like.
            digest: Says which images they are.
            device: Where it is trained and judges.

        Raises:
            ConfigurationError: A loaded classifier has other numbers of classes or channels.
        """
        self.classifier.materialize(traits)
        self.to(device)
        if self.loaded:
            weights = {name: value.double().sum().item() for name, value in self.state_dict().items()}
            self._prepared = content_hash([self.name, weights])
            return
        network = self.classifier
        own = [network.network_name, network.stem, network.pretrained, network.resize, network.seed]
        levels = [network.mean, network.std, traits.classes, traits.channels, traits.height]
        key = content_hash([*own, *levels, self.epochs, self.lr, self.batch_size, self.seed, digest])
        if self._prepared == key:
            return
        if key not in _TRAINED:
            self._train(images, labels, device)
            _agree(self)
            _TRAINED[key] = {name: value.cpu().clone() for name, value in self.state_dict().items()}
        self.load_state_dict(_TRAINED[key])
        self._prepared = key

    def _train(self, images: Tensor, labels: Tensor, device: Any) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        size = min(self.batch_size, len(images))
        steps = self.epochs * (len(images) // size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        self.train()
        # Layers with dropout draw from torch's own generator: neither may one judge hang on what ran before it, nor
        # what runs after it on the judge.
        devices = [device] if torch.device(device).type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(self.seed)
            for _ in range(self.epochs):
                order = torch.randperm(len(images), generator=generator)
                for low in range(0, len(images) - size + 1, size):
                    rows = order[low : low + size]
                    optimizer.zero_grad()
                    self.classifier.losses(
                        {"inputs": images[rows].to(device), "targets": labels[rows].to(device), "index": rows}
                    ).mean().backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    schedule.step()
        for parameter in self.parameters():
            parameter.grad = None

    # -------------------------------------------------------------------------------- verdicts

    @property
    def num_features(self) -> int:
        """Number of features; known once it is prepared."""
        return self._head.in_features

    @property
    def _head(self) -> nn.Linear:
        return [part for part in self.classifier.modules() if isinstance(part, nn.Linear)][-1]

    def log_probabilities(self, images: Tensor) -> Tensor:
        """Return the logarithm of each class's probability, [n, classes], fp32, nats.

        Args:
            images: [n, channels, height, width], uint8.
        """
        return self.read(images)[0]

    def features(self, images: Tensor) -> Tensor:
        """Return what goes into the last linear layer, [n, features], fp32.

        Args:
            images: [n, channels, height, width], uint8.
        """
        return self.read(images)[1]

    @torch.no_grad()
    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [n, classes] and features [n, features] from one pass."""
        seen: list[Tensor] = []
        device = self._head.weight.device
        hook = self._head.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].flatten(1).float())
        )
        said = []
        try:
            with eval_mode(self):
                for part in torch.split(images, self.batch_size):
                    nobody = torch.zeros(len(part), dtype=torch.int64, device=device)
                    logits = self.classifier({"inputs": part.to(device), "targets": nobody, "index": nobody})
                    said.append(logits.float().log_softmax(-1))
        finally:
            hook.remove()
        return torch.cat(said), torch.cat(seen)


def _agree(judge: nn.Module) -> None:
    """Give all processes the weights of the first one: on an accelerator sums are not the same bits everywhere."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for value in judge.state_dict().values():
            torch.distributed.broadcast(value, 0)
