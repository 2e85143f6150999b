"""Tiny diffusion models of digits, and one run of each kind of method on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from tests.modules.image_models import adamw, dual, momentum
from tests.modules.interrupted import Kind as Interrupted
from tests.modules.tiny import quiet
from unlearnkit.batches import ImageTraits
from unlearnkit.callbacks import WeightMask
from unlearnkit.datamodules import DiffusionImages
from unlearnkit.models import DiffusionModel
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import (
    AdaptiveAscent,
    AscentNLL,
    NLLAndDistance,
    Objective,
    Replay,
    UniformPixels,
    WrongCondition,
)
from unlearnkit.optim import DualOptimPlus
from unlearnkit.strategies import Alternate, FixedWeights, LossNorm, NGDiff, Strategy

ROUNDS = 3
"""Rounds of a run; an epoch has 2."""

NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"network": "unet", "width": 8, "multipliers": [1, 2]},
    "dit": {"network": "dit", "width": 16, "layers": 2, "heads": 2, "patch_size": 4},
    "unet-dropout": {"network": "unet", "width": 8, "multipliers": [1, 2], "dropout": 0.3},
    "dit-variance": {
        "network": "dit",
        "width": 16,
        "layers": 1,
        "heads": 2,
        "patch_size": 4,
        "learned_variance": True,
    },
}
"""Sizes of networks of some thousands of weights."""


def generator(network: str, dtype: torch.dtype = torch.float64) -> DiffusionModel:
    """Return the same generator of digits at each call, with a last layer that is not zero.

    Args:
        network: A name of ``NETWORKS``.
        dtype: Type of its weights.
    """
    model = DiffusionModel(**NETWORKS[network], seed=11)
    model.materialize(ImageTraits(classes=10, channels=1, height=8))
    drawn = torch.Generator().manual_seed(12)
    with torch.no_grad():
        for parameter in model.parameters():  # a DiT begins with zeros, whose gradients say nothing
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=drawn))
    return model.to(dtype).train()


def digits(kind: type[DiffusionImages] = DiffusionImages, **changes: Any) -> DiffusionImages:
    """Return 8 threes to forget and 72 digits to keep, in batches of odd sizes, which two ranks share unequally."""
    settings: dict[str, Any] = {
        "per_class": 16,
        "flip": True,
        "forget_batch_size": 5,
        "retain_batch_size": 7,
        "train_batch_size": 8,
    }
    return kind("digits", **(settings | changes))


@dataclass(frozen=True)
class Kind:
    """One kind of method.

    Attributes:
        strategy: Makes its strategy.
        optimizer: Makes its optimizer.
        forget: Makes the forget objective.
        retain: Makes the retain objective, or None for the denoising loss.
        mask: Makes the mask on weights, or None.
    """

    strategy: Callable[[], Strategy]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    forget: Callable[[], Objective] = AscentNLL
    retain: Callable[[], Objective] | None = None
    mask: Callable[[], WeightMask] | None = None


SALUN = partial(WeightMask, "salun", keep=0.5)

REPLAY = partial(Replay, per_class=2, steps=2, fisher_samples=1, fisher_steps=3, guidance=1.0, batch_size=5)

KINDS: dict[str, Kind] = {
    "NGDiff": Kind(NGDiff, adamw),
    "LossNorm": Kind(LossNorm, momentum),
    "SalUn": Kind(lambda: FixedWeights(c=0.5), adamw, WrongCondition, mask=SALUN),
    "SalUn-noise": Kind(
        lambda: FixedWeights(c=0.5), adamw, partial(WrongCondition, against="noise"), mask=SALUN
    ),
    "DualOptim": Kind(Alternate, dual, partial(WrongCondition, "random"), mask=SALUN),
    "DualOptimPlus": Kind(
        Alternate,
        partial(DualOptimPlus, lr=0.003, forget_lr=0.002, weight_decay=0.1),
        partial(WrongCondition, "null"),
    ),
    "SFRon": Kind(
        lambda: Alternate(forget_fade=6),
        adamw,
        AdaptiveAscent,
        mask=partial(WeightMask, "fisher_ratio", hard=False),
    ),
    "Distance": Kind(NGDiff, momentum, retain=NLLAndDistance),
    "SA": Kind(lambda: FixedWeights(c=0.5), adamw, UniformPixels, partial(REPLAY, distance=1e-4)),
}
"""The packaged methods' objectives, strategies, optimizers and masks."""


def module(network: str, kind: str, dtype: torch.dtype = torch.float64) -> UnlearningModule:
    """Return the module of one kind of run."""
    chosen, model = KINDS[kind], generator(network, dtype)
    retain = None if chosen.retain is None else chosen.retain()
    return UnlearningModule(model, chosen.forget(), retain, chosen.strategy(), chosen.optimizer, seed=5)


def acting(kind: str) -> list[Callback]:
    """Return the callbacks of one kind of run."""
    mask = KINDS[kind].mask
    return [] if mask is None else [mask()]


def train(
    network: str,
    kind: str,
    data: DiffusionImages | None = None,
    callbacks: tuple[Callback, ...] = (),
    *,
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
        dtype: Type of the weights.
        path: Checkpoint to go on from, or None.
        settings: Of the trainer.
    """
    settings = {"max_steps": ROUNDS, "max_epochs": -1, "limit_val_batches": 0} | settings
    trainer = quiet(callbacks=[*acting(kind), *callbacks], **settings)
    made = module(network, kind, dtype)
    trainer.fit(made, data or digits(), ckpt_path=path, weights_only=None if path is None else True)
    return made


def moved(parameters: list[Tensor], network: str) -> float:
    """Return by how much some weight has moved at most since the start."""
    start = [p.detach() for p in generator(network).parameters()]
    return max((a - b).abs().max().item() for a, b in zip(parameters, start, strict=True))


EVERYTHING: list[tuple[str, str]] = [
    *(("unet", kind) for kind in KINDS),
    *(("dit", kind) for kind in ("NGDiff", "SalUn-noise", "DualOptimPlus", "SFRon")),
    ("dit-variance", "SalUn"),
]
"""Networks and kinds that are tried."""

RESUMED = {
    "dropout-salun": Interrupted(
        partial(module, "unet-dropout", "SalUn", torch.float32),
        digits,
        1,
        1,
        callbacks=partial(acting, "SalUn"),
    ),
    "replay-sa": Interrupted(partial(module, "unet", "SA", torch.float32), digits, 1, 1),
    "dit-sfron": Interrupted(
        partial(module, "dit", "SFRon", torch.float32), digits, 2, 2, callbacks=partial(acting, "SFRon")
    ),
    "dit-dual-optim-plus-gen": Interrupted(
        partial(module, "dit", "NGDiff", torch.float32), digits, 2, 1, gen=2
    ),
}
"""Runs that are stopped: with dropout in the network, samples of the target, masks, a rate that is fitted."""
