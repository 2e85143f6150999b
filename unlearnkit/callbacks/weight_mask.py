"""WeightMask: only the weights that matter to what is forgotten may move (SalUn, SFRon)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any, get_args

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from unlearnkit.batches import Side
from unlearnkit.errors import ConfigurationError, MismatchError, UnknownNameError
from unlearnkit.gradients.mask import Mask, require_wide_states
from unlearnkit.gradients.saliency import Score, saliency_mask
from unlearnkit.sharding import sharded_modules

log = logging.getLogger("unlearnkit")

SETTINGS = ("score", "keep", "gamma", "hard", "batches")
"""Arguments that a checkpoint's mask was made with."""


class WeightMask(Callback):
    """Score all weights before the first round, and let only those move that matter to what is forgotten.

    ``salun`` (SalUn, Fan et al. 2024) keeps the fraction with the largest ``|sum of forget gradients|``;
    ``salun_difference`` is what DualOptim's code does under that name, ``|mean g_f| - |mean g_r|``; ``fisher_ratio``
    (SFRon, Huang et al. 2024) keeps weights whose Fisher information on the forget set is at least ``gamma`` times
    that on the retain set. Gradients are of the mean negative log-likelihood of each batch of the whole side, in
    order, not augmented, in eval mode and in the parameters' type, on the weights that the run starts from.

    ``hard`` freezes all other weights in all steps: the same bits after any number of rounds, weight decay and
    momentum included. Masking gradients alone, as SalUn's first code and DualOptim's do, does not freeze them: decay
    and momentum move them all the same (SalUn's repository, issue 32). ``hard=False`` is just that, and for the forget
    gradient alone, as SFRon has it. Either way norms, clips and the Gram matrix are those of masked gradients. Running
    statistics of batch norm are no weights: they drift under a mask, too, unless ``FrozenStatistics`` is there.

    Ranks of DDP score their share of the batches; under FSDP2 each goes through all of them. A checkpoint keeps the
    mask, a bit for each weight, and a resumed run takes it from there: its weights have moved since.

    Args:
        score: ``salun``, ``salun_difference`` or ``fisher_ratio``.
        keep: Fraction of all weights that may move, for the first two; None is 0.5.
        gamma: Smallest ratio of the third; None is 1.
        hard: Whether the other weights are frozen in both sides' steps, or only the forget gradient is masked.
        batches: Score on this many batches of each side at most, its first ones; None takes all.

    Attributes:
        masks: By name of each trainable parameter where it may move, whole, bool; None before the first fit.

    Raises:
        ConfigurationError: A number is out of its range, or belongs to another score; before the first round: the
            module is no UnlearningModule or has a mask already, the data module does not iterate over whole sides,
            the optimizer keeps states in 8 bits (``hard``), the strategy does not form the forget gradient by itself
            (``hard=False``), or no weight is kept.
        UnknownNameError: ``score`` is none of the three.
        MismatchError: A checkpoint's mask was made with other arguments, or is another model's.
        NonFiniteError: A gradient is NaN or infinite.

    >>> WeightMask(score="fisher_ratio", gamma=1.0, hard=False).state_dict()["masks"] is None
    True

    In a YAML::

        callbacks:
          - class_path: WeightMask
            init_args: {score: salun, keep: 0.5}
    """

    def __init__(
        self,
        score: Score = "salun",
        keep: float | None = None,
        gamma: float | None = None,
        hard: bool = True,
        batches: int | None = None,
    ) -> None:
        if score not in get_args(Score):
            raise UnknownNameError.among("score", str(score), get_args(Score))
        unused, value = ("keep", keep) if score == "fisher_ratio" else ("gamma", gamma)
        if value is not None:
            raise ConfigurationError(
                f"`{unused}` must be left unset with score={score!r}, which has no use for it. Found {value}. "
                f"Use {'gamma' if unused == 'keep' else 'keep'}."
            )
        if keep is not None and not 0.0 < keep <= 1.0:
            raise ConfigurationError(
                f"`keep` must lie in (0, 1], a fraction of all weights. Found {keep}. Use e.g. keep=0.5."
            )
        if gamma is not None and not 0.0 < gamma < float("inf"):
            raise ConfigurationError(
                f"`gamma` must be above 0, the smallest ratio that is kept. Found {gamma}. Use e.g. gamma=1.0."
            )
        if batches is not None and batches < 1:
            raise ConfigurationError(
                f"`batches` must be at least 1. Found {batches}. Leave it unset to score on whole sides."
            )
        self.score: Score = score
        self.keep = 0.5 if keep is None else keep
        self.gamma = 1.0 if gamma is None else gamma
        self.hard = hard
        self.batches = batches
        self.masks: dict[str, Tensor] | None = None
        self._mask: Mask | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin each fit anew, before a resume restores."""
        if stage == "fit":
            self.masks = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check module, strategy, data and optimizer before anything is computed."""
        module: Any = pl_module
        if not all(hasattr(module, name) for name in ("host", "strategy")):
            raise ConfigurationError(
                "`callbacks` may hold WeightMask only with an UnlearningModule, whose host masks the steps. Found "
                f"{type(module).__name__}. Remove it, or train with UnlearningModule."
            )
        if not self.hard and not module.strategy.by_side:
            raise ConfigurationError(
                "`hard=False` masks the forget gradient alone, so the strategy must form it by itself. Found "
                f"{type(module.strategy).__name__}, which backpropagates the weighted sum of the losses once. Use "
                "hard=True, or a strategy such as Alternate."
            )
        datamodule = getattr(trainer, "datamodule", None)
        if not callable(getattr(datamodule, "batches", None)):
            raise ConfigurationError(
                "`datamodule` must go through a whole side in order, batches(side), for weights to be scored. Found "
                f"{type(datamodule).__name__}. Use a data module of unlearnkit, or add that method."
            )
        if self.hard:
            require_wide_states(trainer.optimizers[0])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the weights, or take the mask of the run that is resumed; hand it to the host."""
        module: Any = pl_module
        host = module.host
        if host.mask is not None:
            raise ConfigurationError(
                "`callbacks` may hold one WeightMask only. Found a mask on the host already. Remove one of them."
            )
        if self.masks is None:
            self.masks = dict(zip(host.names, self._scored(trainer, module), strict=True))
        if list(self.masks) != host.names:
            raise MismatchError(
                f"`masks` of a checkpoint must be of the weights that are trained, {len(host.names)} parameters. Found "
                f"{len(self.masks)} of other names. Resume with the model of that run."
            )
        mask = Mask(list(self.masks.values()), host.parameters, self.hard)
        if mask.fraction == 0.0:
            raise ConfigurationError(
                f"`gamma` must leave some weight to move. Found none kept with {self.gamma}. Lower gamma."
            )
        host.mask = self._mask = mask
        if trainer.is_global_zero:
            number = sum(one.numel() for one in self.masks.values())
            log.info(
                "WeightMask (%s) lets %.4g %% of %d weights move.", self.score, 100 * mask.fraction, number
            )

    def _scored(self, trainer: Trainer, module: Any) -> list[Tensor]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        shares = trainer.world_size > 1 and not sharded_modules(module.model)

        def batches(side: Side) -> Iterator[Any]:
            every = islice(data.batches(side), self.batches)
            for batch in islice(every, trainer.global_rank, None, trainer.world_size) if shares else every:
                # Not the trainer's own way to the device, on which data modules augment.
                yield trainer.precision_plugin.convert_input(move_data_to_device(batch, module.device))

        rank_sum = module.host.rank_sum if shares else None
        return saliency_mask(
            module.model, batches, self.score, keep=self.keep, gamma=self.gamma, rank_sum=rank_sum
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the fraction of weights that may move."""
        if self._mask is not None:
            pl_module.log("mask/kept", self._mask.fraction, batch_size=1)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module without a mask."""
        if stage == "fit":
            self._let_go(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module without a mask: after an error there is no teardown."""
        self._let_go(pl_module)

    def _let_go(self, module: Any) -> None:
        # `masks` stay, for a checkpoint that is saved now.
        if self._mask is not None:
            module.host.mask = self._mask = None

    def state_dict(self) -> dict[str, Any]:
        """Return the masks, packed to a bit for each weight, and what they were made with."""
        packed = None if self.masks is None else {name: _pack(mask) for name, mask in self.masks.items()}
        return {name: getattr(self, name) for name in SETTINGS} | {"masks": packed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the masks of the run that is resumed.

        Raises:
            MismatchError: They were made with other arguments.
        """
        for name in SETTINGS:
            if state_dict[name] != getattr(self, name):
                raise MismatchError(
                    f"`{name}` of WeightMask must be as in the run that is resumed, whose mask goes on "
                    f"({state_dict[name]!r}). Found {getattr(self, name)!r}. Use the former, or start a new run from "
                    "the checkpoint's model."
                )
        packed = state_dict["masks"]
        self.masks = None if packed is None else {name: _unpack(found) for name, found in packed.items()}


def _pack(mask: Tensor) -> dict[str, Any]:
    """Return a bool tensor as bytes of eight.

    >>> _pack(torch.tensor([[True, False], [False, True]]))
    {'shape': [2, 2], 'bits': tensor([144], dtype=torch.uint8)}
    """
    return {"shape": list(mask.shape), "bits": torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))}


def _unpack(packed: dict[str, Any]) -> Tensor:
    shape = torch.Size(packed["shape"])
    bits = np.unpackbits(packed["bits"].cpu().numpy(), count=shape.numel())
    return torch.from_numpy(bits.astype(bool)).view(shape)
