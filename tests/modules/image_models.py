"""Image classifiers of every kind of normalisation, digits, and one run of each kind of strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from tests.modules.interrupted import Kind as Interrupted
from tests.modules.tiny import quiet
from unlearnkit.batches import ImageTraits
from unlearnkit.callbacks import FrozenStatistics, WeightMask
from unlearnkit.datamodules import Images
from unlearnkit.datamodules.image_selection import ForgetSet
from unlearnkit.models import ImageClassifier
from unlearnkit.models.batch_statistics import statistics_layers
from unlearnkit.models.image_network import build_network
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import AdaptiveAscent, AscentNLL, Objective, RandomLabels
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.strategies import Alternate, FixedWeights, LossNorm, NGDiff, Strategy

ROUNDS = 4
"""Rounds of a run; an epoch has 3."""


# ------------------------------------------------------------------------------------------ models


def resnet18(group: bool) -> nn.Module:
    """Return torchvision's ResNet-18 with the CIFAR stem and a sixteenth of its width: 45 thousand weights.

    Args:
        group: Whether its norms are over all channels of one sample instead of over the batch.
    """
    network = build_network("resnet18", 10, 1, 8, stem="cifar")
    for name, part in list(network.named_modules()):
        made: nn.Module | None = None
        if isinstance(part, nn.Conv2d):
            wide = max(1, part.in_channels // 16), part.out_channels // 16
            made = nn.Conv2d(*wide, part.kernel_size, part.stride, part.padding, bias=False)
        elif isinstance(part, nn.BatchNorm2d):
            wide_norm = part.num_features // 16
            made = nn.GroupNorm(1, wide_norm) if group else nn.BatchNorm2d(wide_norm)
        elif isinstance(part, nn.Linear):
            made = nn.Linear(part.in_features // 16, part.out_features)
        if made is not None:
            network.set_submodule(name, made)
    return network


def swin(depth: float = 0.0) -> nn.Module:
    """Return timm's Swin with shifted windows in two stages of 8 and 16 channels: 11 thousand weights.

    Args:
        depth: Probability with which a block is left out for a sample (stochastic depth); timm's default is 0.1.
    """
    return SwinTransformer(
        img_size=8,
        patch_size=2,
        in_chans=1,
        num_classes=10,
        embed_dim=8,
        depths=(2, 2),
        num_heads=(2, 2),
        window_size=2,
        drop_path_rate=depth,
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "small": lambda: build_network("small", 10, 1, 8),
    "resnet18-group": partial(resnet18, group=True),
    "swin": swin,
    "resnet18": partial(resnet18, group=False),
    "swin-random-depth": partial(swin, depth=0.3),
}
"""No norm, group norm, layer norm, batch norm; layer norm and draws for each sample."""


def classifier(network: str, dtype: torch.dtype = torch.float64) -> ImageClassifier:
    """Return the same classifier of digits at each call.

    Args:
        network: A name of ``NETWORKS``.
        dtype: Type of its weights.
    """
    # A batch norm over a few samples of one pixel each is so steep that rounding grows to 1e-6 in four rounds.
    model = ImageClassifier(resize=16 if network.startswith("resnet18") else None)
    model.materialize(ImageTraits(classes=10, channels=1, height=8))
    torch.manual_seed(11)
    model.network = NETWORKS[network]()
    return model.to(dtype).train()


# ------------------------------------------------------------------------------------------- data


def digits(kind: type[Images] = Images, **changes: Any) -> Images:
    """Return 20 digits to forget and 60 to keep, in batches of odd sizes, which two ranks share unequally."""
    settings: dict[str, Any] = {
        "per_class": 8,
        "forget": ForgetSet(fraction=0.25),
        "augment": "crop_flip",
        "forget_batch_size": 7,
        "retain_batch_size": 11,
        "train_batch_size": 8,
    }
    return kind("digits", **(settings | changes))


class Shares(Images):
    """Hand each side over as the shares of two ranks: two micro-batches."""

    def _collate(self, part: Any, samples: list[Any]) -> Any:
        return [self.collate(samples[rank::2]) for rank in range(2)]


# ------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class Kind:
    """One kind of strategy.

    Attributes:
        strategy: Makes it.
        optimizer: Makes its optimizer.
        forget: Makes the forget objective.
        mask: Makes the mask on weights, or None.
    """

    strategy: Callable[[], Strategy]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    forget: Callable[[], Objective] = AscentNLL
    mask: Callable[[], WeightMask] | None = None


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.003, weight_decay=0.1)


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.005, momentum=0.9)


def dual(parameters: Any) -> DualOptim:
    return DualOptim(parameters, forget=partial(torch.optim.AdamW, lr=0.003), retain=momentum)


KINDS: dict[str, Kind] = {
    "NGDiff": Kind(NGDiff, adamw),
    "LossNorm": Kind(LossNorm, momentum),
    "Alternate": Kind(Alternate, momentum),
    "DualOptim": Kind(Alternate, dual),
    "DualOptimPlus": Kind(Alternate, partial(DualOptimPlus, lr=0.003, forget_lr=0.002, weight_decay=0.1)),
    "SalUn": Kind(lambda: FixedWeights(c=0.5), adamw, RandomLabels, partial(WeightMask, "salun", keep=0.5)),
    "SFRon": Kind(
        lambda: Alternate(forget_fade=6),
        adamw,
        AdaptiveAscent,
        partial(WeightMask, "fisher_ratio", hard=False),
    ),
}
"""Closed form, loss-level, alternating with one optimizer and with two, hard and soft masks."""


def module(network: str, kind: str, dtype: torch.dtype = torch.float64) -> UnlearningModule:
    """Return the module of one kind of run."""
    chosen, model = KINDS[kind], classifier(network, dtype)
    return UnlearningModule(model, chosen.forget(), None, chosen.strategy(), chosen.optimizer, seed=5)


def acting(kind: str, frozen: bool = False) -> list[Callback]:
    """Return the callbacks of one kind of run."""
    mask, still = KINDS[kind].mask, [FrozenStatistics()] if frozen else []
    return [*still, *([] if mask is None else [mask()])]


def train(
    network: str,
    kind: str,
    data: Images | None = None,
    callbacks: tuple[Callback, ...] = (),
    *,
    frozen: bool = False,
    dtype: torch.dtype = torch.float64,
    path: Any = None,
    **settings: Any,
) -> UnlearningModule:
    """Make a run and return its module.

    Args:
        network: A name of ``NETWORKS``.
        kind: A name of ``KINDS``.
        data: Data module; default whole batches.
        callbacks: Further ones.
        frozen: Whether batch norms keep their statistics.
        dtype: Type of the weights.
        path: Checkpoint to go on from, or None.
        settings: Of the trainer.
    """
    settings = {"max_steps": ROUNDS, "max_epochs": -1, "limit_val_batches": 0} | settings
    trainer = quiet(callbacks=[*acting(kind, frozen), *callbacks], **settings)
    made = module(network, kind, dtype)
    trainer.fit(made, data or digits(), ckpt_path=path, weights_only=None if path is None else True)
    return made


def statistics(found: UnlearningModule) -> list[Tensor]:
    """Return copies of the buffers of layers that carry running statistics."""
    return [b.clone() for layer in statistics_layers(found.model) for b in layer.buffers()]


def worst(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference between two lists of tensors; 0 where there are none."""
    return max(((a - b).abs().max().item() for a, b in zip(found, expected, strict=True)), default=0.0)


def moved(parameters: list[Tensor], network: str) -> float:
    """Return by how much some weight has moved at most since the start."""
    return worst(parameters, [p.detach() for p in classifier(network).parameters()])


EVERYTHING: list[tuple[str, str]] = [
    *(("small", kind) for kind in KINDS),
    *(("swin", kind) for kind in ("DualOptimPlus", "SalUn")),
    ("resnet18-group", "SFRon"),
    *(("resnet18", kind) for kind in ("NGDiff", "DualOptim", "SalUn", "SFRon")),
]
"""Networks and kinds that are tried: the smallest with all kinds, the others with some of each sort."""


# ----------------------------------------------------------------------------------------- resuming

RESUMED = {
    "batch-norm-salun": Interrupted(
        partial(module, "resnet18", "SalUn", torch.float32), digits, 1, 1, callbacks=partial(acting, "SalUn")
    ),
    "frozen-batch-norm-sfron": Interrupted(
        partial(module, "resnet18", "SFRon", torch.float32),
        digits,
        2,
        2,
        callbacks=partial(acting, "SFRon", True),
    ),
    "swin-random-depth-dual-optim-plus": Interrupted(
        partial(module, "swin-random-depth", "DualOptimPlus", torch.float32), digits, 2, 2, gen=2
    ),
}
"""Runs that are stopped: with batch statistics that move, with such that do not, with noise in the network."""
