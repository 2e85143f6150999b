"""The small worlds of the notebooks: handwritten digits, and fictitious authors and news known by heart."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from unlearnkit.datamodules import MUSE, TOFU
from unlearnkit.datamodules.base import TrainOn
from unlearnkit.datamodules.muse_corpus import Forget
from unlearnkit.errors import ConfigurationError
from unlearnkit.evaluators import TOFUEvaluator
from unlearnkit.host import PlainHost
from unlearnkit.models import CausalLM
from unlearnkit.modules import FinetuningModule
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import Strategy
from unlearnkit.study.quiet import quiet
from unlearnkit.testing.notebook import SetUp


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's 8x8 digits, split. Every set holds (image [1, 8, 8] in [0, 1], label) pairs.

    Attributes:
        forget: What is to be forgotten.
        retain: The rest of the training set.
        test: What no model has seen, with clean labels.
        noisy: Whether a training label was replaced by another, [train], in the order forget, then retain.
    """

    forget: TensorDataset
    retain: TensorDataset
    test: TensorDataset
    noisy: Tensor

    @property
    def train(self) -> TensorDataset:
        """Forget and retain set together."""
        pairs = zip(self.forget.tensors, self.retain.tensors, strict=True)
        return TensorDataset(*(torch.cat(pair) for pair in pairs))


def digits(forget: float | int = 0.1, noise: float = 0.1, seed: int = 0) -> Digits:
    """Split the digits: 1200 to train, 597 to test.

    Args:
        forget: A fraction of the training set, drawn at random, or (an int) the class to forget.
        noise: Fraction of the training labels that are replaced: what can be known of such a sample only by having
            seen it. Without it a model that never saw a random forget set does as well on it as one that did.
        seed: Of the split and the noise.

    Raises:
        ConfigurationError: A number is out of its range.

    >>> data = digits(forget=3, noise=0.0)
    >>> len(data.test), set(data.forget.tensors[1].tolist())
    (597, {3})
    """
    by_class = isinstance(forget, int)
    if not (0 <= forget <= 9 if by_class else 0 < forget < 1):
        raise ConfigurationError(
            f"`forget` must be a fraction between 0 and 1, or a class from 0 to 9. Found {forget!r}. Use 0.1 or 3."
        )
    if not 0 <= noise < 1:
        raise ConfigurationError(
            f"`noise` must lie in [0, 1), a fraction of the labels. Found {noise}. Use 0.1."
        )
    from sklearn.datasets import load_digits

    bunch = load_digits()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(bunch.target), generator=generator)
    images = torch.tensor(bunch.images, dtype=torch.float32)[order, None] / 16
    labels = torch.tensor(bunch.target)[order]
    train, test = slice(0, 1200), slice(1200, None)
    noisy = torch.rand(1200, generator=generator) < noise
    shift = torch.randint(1, 10, (1200,), generator=generator)
    seen = torch.where(noisy, (labels[train] + shift) % 10, labels[train])
    chosen = labels[train] == forget if by_class else torch.arange(1200) < round(forget * 1200)
    return Digits(
        TensorDataset(images[train][chosen], seen[chosen]),
        TensorDataset(images[train][~chosen], seen[~chosen]),
        TensorDataset(images[test], labels[test]),
        torch.cat([noisy[chosen], noisy[~chosen]]),
    )


def digit_net(seed: int = 0) -> nn.Sequential:
    """Return a convolutional network of 38 000 parameters: images [batch, 1, 8, 8] to logits [batch, 10].

    >>> sum(p.numel() for p in digit_net().parameters())
    38282
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )


def train_net(
    net: nn.Module,
    data: TensorDataset,
    epochs: int = 30,
    lr: float = 2e-3,
    batch_size: int = 64,
    seed: int = 0,
) -> nn.Module:
    """Train a classifier by Adam on shuffled batches, in place, and return it."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = data.tensors
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(labels), generator=generator), batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(net(images[rows]), labels[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return net


@torch.no_grad()
def accuracy(net: nn.Module, data: TensorDataset) -> float:
    """Return the fraction of a set that a classifier gets right."""
    images, labels = data.tensors
    return float((net(images).argmax(-1) == labels).double().mean())


def authors(train_on: TrainOn = "pair", seed: int = 0, count: int = 20, questions: int = 5) -> TOFU:
    """Return fictitious authors in TOFU's form, a tenth of whom are to be forgotten.

    Args:
        train_on: ``full`` for the target, ``retain`` for the retrained reference, ``pair`` to unlearn.
        seed: Of the authors and of every draw.
        count: Authors.
        questions: Questions about each.
    """
    return TOFU(
        authors=count,
        questions=questions,
        train_on=train_on,
        vocab_size=600,
        train_batch_size=8,
        forget_batch_size=10,
        retain_batch_size=20,
        knowledge=False,
        data_seed=seed,
        seed=seed,
    )


def news(train_on: TrainOn = "pair", forget: Forget = "raw", seed: int = 0, articles: int = 30) -> MUSE:
    """Return fictitious news in MUSE's form, a tenth of them a request to forget, two questions about each article.

    Args:
        train_on: ``full`` for the target, ``retain`` for the retrained reference, ``pair`` to unlearn.
        forget: Which request, or several.
        seed: Of the draws; the news stay the same.
        articles: How many.
    """
    return MUSE(
        forget=forget,
        cut="documents",
        articles=articles,
        questions=2,
        train_on=train_on,
        vocab_size=600,
        max_length=192,
        train_batch_size=8,
        forget_batch_size=4,
        retain_batch_size=8,
        data_seed=0,
        seed=seed,
    )


def learned(
    data: TOFU | MUSE, notebook: SetUp, epochs: int = 30, seed: int = 0, max_length: int = 128
) -> CausalLM:
    """Train a Llama of 0.1 million parameters from scratch until it knows its authors, or its news, by heart.

    Args:
        data: What it learns.
        notebook: What ``set_up`` returned.
        epochs: How often it sees everything.
        seed: Of weights and batches.
        max_length: Its context, in tokens; MUSE's continuations need 256.
    """
    from lightning.pytorch import Trainer

    model = CausalLM(hidden_size=64, layers=1, heads=4, max_length=max_length, seed=seed)
    module = FinetuningModule(model, optimizer=_adamw, seed=seed)
    with quiet():
        trainer = Trainer(max_epochs=epochs, gradient_clip_val=1.0, **notebook.trainer)
        trainer.fit(module, datamodule=data)
    return model


def _adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=5e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)


def recall(model: CausalLM, data: TOFU) -> dict[str, float]:
    """Return what a model says of the authors: ``forget_rouge``, ``forget_fact``, ``retain_rouge``, ``retain_fact``."""
    found = TOFUEvaluator(truth_ratio=False, sets=["forget", "retain"]).evaluate(model, data)["summary"]
    return {name: found[name] for name in ("forget_rouge", "forget_fact", "retain_rouge", "retain_fact")}


def unlearned(
    target: CausalLM,
    data: TOFU,
    strategy: Strategy,
    rounds: int,
    lr: float = 1e-3,
    look: Callable[[int, CausalLM], None] | None = None,
) -> CausalLM:
    """Return a copy of the target after rounds of ascent on the forget side and descent on the retain side, by AdamW.

    Args:
        target: What it starts from; it stays as it is.
        data: ``train_on="pair"``.
        strategy: Joins the two sides.
        rounds: How many.
        lr: Learning rate.
        look: Is shown round and model after every fifth round.
    """
    model: CausalLM = fresh(target)
    data.setup("fit")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)
    for round_ in range(rounds):
        strategy.step(host, data.batch(round_))
        if look is not None and (round_ + 1) % 5 == 0:
            look(round_ + 1, model)
    return model


def fresh(model: nn.Module) -> Any:
    """Return a copy that shares nothing with the model, in train mode: every method starts from the same target."""
    return copy.deepcopy(model).train()
