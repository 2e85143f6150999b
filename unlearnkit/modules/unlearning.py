"""UnlearningModule: a LightningModule with manual optimization that hosts a strategy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from unlearnkit.batches import ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.host import eval_mode
from unlearnkit.modules.cached_reference import ask_ahead, require_known_batches
from unlearnkit.modules.candidates import Candidates
from unlearnkit.modules.checkpoints import open_next_epoch, refuse_timed
from unlearnkit.modules.evaluated import EvaluatedModule
from unlearnkit.modules.lightning_host import LightningHost, reseed
from unlearnkit.modules.method import method_of, require_same_method
from unlearnkit.modules.reference import TargetReference, require_same_target
from unlearnkit.modules.sharded import shard
from unlearnkit.modules.shared_statistics import share_statistics
from unlearnkit.objectives import NLL, AscentNLL, Objective
from unlearnkit.strategies import NGDiff, RoundReport, Strategy
from unlearnkit.strategies.base import require_finite

log = logging.getLogger("unlearnkit")

OptimizerCallable = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
SchedulerCallable = Callable[[torch.optim.Optimizer], LRScheduler]


class UnlearningModule(EvaluatedModule):
    """Make a trained model forget: two objectives, one strategy, any optimizer.

    One ``training_step`` is one *round*, however many backward passes and optimizer steps the
    strategy makes; ``global_step``, ``max_steps``, checkpoints and logs count rounds.

    Args:
        model: The target, a module of ``unlearnkit.models`` or one with the same methods.
        forget: What is minimised on the forget data; default ``AscentNLL()``.
        retain: What is minimised on the retain data; default ``NLL()``.
        strategy: How the two become one update; default ``NGDiff()``.
        optimizer: Makes the optimizer from the parameters; default fused AdamW at 3e-4, no decay.
        scheduler: Makes a learning-rate schedule from the optimizer, stepped once a round.
        clip: Largest norm of the combined gradient, or None.
        side_clip: Largest norm of each side's gradient before they are combined, or None; for strategies that
            form both gradients.
        seed: Seed of everything random in training (dropout, noise), together with round and rank.
        cache_reference: Ask the reference model about all rounds before the first one and drop it, instead of
            keeping it beside the model; the same bits. For objectives that need its log-probabilities alone.

    Raises:
        ConfigurationError: The optimizer's arguments break its rules (negative learning rate ...), or
            ``clip`` is not above 0.
    """

    def __init__(
        self,
        model: nn.Module,
        forget: Objective | None = None,
        retain: Objective | None = None,
        strategy: Strategy | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: SchedulerCallable | None = None,
        clip: float | None = None,
        side_clip: float | None = None,
        seed: int = 0,
        cache_reference: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.strategy = strategy if strategy is not None else NGDiff()
        self.objectives = nn.ModuleDict(
            {
                "forget": forget if forget is not None else AscentNLL(),
                "retain": retain if retain is not None else NLL(),
            }
        )
        self.optimizer = check_optimizer(optimizer or default_optimizer)
        self.scheduler = scheduler
        self.clip = clip
        self.side_clip = side_clip
        self.seed = seed
        self.cache_reference = cache_reference
        self.last_report: RoundReport | None = None
        self.skipped_rounds = 0
        self.guard: Callable[[NonFiniteError], bool] | None = None
        # Neither the host nor the reference may become a submodule: the reference would be saved
        # with every checkpoint and follow train() and eval().
        self._outside: dict[str, Any] = {"host": LightningHost(self), "reference": None, "batch": None}
        self._outside |= {"fingerprint": None, "random": False}
        for name, value in (("clip", clip), ("side_clip", side_clip)):
            if value is not None and not value > 0:
                raise ConfigurationError(
                    f"`{name}` must be above 0, the largest gradient norm. Found {value}. Use {name}=1.0, or null "
                    "for none."
                )
        if side_clip is not None and not self.strategy.by_side:
            raise ConfigurationError(
                "`side_clip` must come with a strategy that forms both sides' gradients. Found "
                f"{type(self.strategy).__name__}, which backpropagates the weighted sum of the losses once. Use "
                "`clip` for the combined gradient, or a strategy such as NGDiff."
            )

    @property
    def host(self) -> LightningHost:
        """What the strategy and GeN talk to."""
        host: LightningHost = self._outside["host"]
        return host

    def objective(self, side: Side) -> Objective:
        """Return one side's objective."""
        found = self.objectives[side]
        assert isinstance(found, Objective)
        return found

    def reference(self) -> Any:
        """Return the frozen target, in eval mode, on this module's device; or what was kept of its answers."""
        if self._outside["reference"] is None:
            raise ConfigurationError(
                "`reference` must be there before the first round. Found None. "
                "It is built in setup('fit'): run the module through a Trainer."
            )
        return self._outside["reference"]

    @property
    def _compared_sides(self) -> list[Side]:
        """The sides whose objective compares with the reference."""
        return [side for side in self.strategy.sides if self.objective(side).needs_reference]

    def setup(self, stage: str) -> None:
        """Build the network where it waits for the vocabulary, and the reference before any restore."""
        waiting = getattr(self.model, "built", True) is False
        super().setup(stage)
        self._outside["random"] = waiting
        if stage == "fit":
            require_trainable(self.model, str(self.trainer.precision))
            self.strategy.remember(self.model)
            datamodule = getattr(self.trainer, "datamodule", None)
            self.strategy.bind(datamodule)
            for side in self.strategy.sides:
                self.objective(side).bind(datamodule)
        if stage == "fit" and self._compared_sides:
            if self.cache_reference:
                require_known_batches(self.trainer)
            if self._outside["reference"] is None:
                target = TargetReference.of(self.model)
                self._outside |= {"reference": target.model, "fingerprint": target.fingerprint}

    def on_fit_start(self) -> None:
        """Give the reference the shards, the precision and the device of the model."""
        refuse_timed(self.trainer)
        reference = self._outside["reference"]
        if not isinstance(reference, nn.Module):
            return
        if self.device_mesh is not None:
            shard(reference, self.device_mesh["data_parallel"], str(self.trainer.precision))
        reference = self.trainer.precision_plugin.convert_module(reference)
        self._outside["reference"] = reference.to(self.device)

    def on_fit_end(self) -> None:
        """Let go of the last batch, and of copies of shards that a measure after the last step has gathered."""
        self._outside["batch"] = None
        self.host.settle()

    def on_train_start(self) -> None:
        """Set train mode explicitly: ``from_pretrained`` returns eval mode, and ``fit`` leaves it so."""
        self.model.train()
        open_next_epoch(self.trainer)
        if self._outside["random"] and self.host.round == 0:
            recipe = getattr(getattr(self.trainer, "datamodule", None), "target_recipe", None)
            log.warning(
                "The model to unlearn from was just built %s: it has nothing to forget. Make a target first (%s, then "
                "`unlearnkit export`) and name its folder: --model.model.name=FOLDER.",
                "with a random last layer"
                if getattr(self.model, "pretrained", False)
                else "with random weights",
                f"`unlearnkit fit --config {recipe}`" if recipe else "train it with FinetuningModule",
            )
        if self.cache_reference and self._compared_sides:
            self._outside["reference"] = ask_ahead(self.trainer, self.reference(), self._compared_sides)

    def on_train_epoch_start(self) -> None:
        """Let the strategy do what is due before an epoch's rounds, and log what it has to report."""
        self.strategy.begin_epoch(self.host, Candidates(self.trainer))
        readings = {f"selection/{name}": value for name, value in self.strategy.readings.items()}
        if readings:
            self.log_dict(readings, batch_size=1)

    def on_train_epoch_end(self) -> None:
        """End the run where the strategy has come to its end."""
        if self.strategy.finished:
            self.trainer.should_stop = True

    def training_step(self, batch: ForgetRetainBatch, batch_idx: int) -> None:
        """Make one round."""
        reseed(self.seed, self.host.round, self.global_rank)
        self.host.remember_checkpoint()
        if batch_idx == 0:
            self.host.require_same_kind(batch)
        self._outside["batch"] = batch
        report = self._guarded_step(batch)
        self.last_report = report
        self.skipped_rounds += report.skipped is not None
        self._step_scheduler(report)
        self._log_round(report)

    def _guarded_step(self, batch: ForgetRetainBatch) -> RoundReport:
        """Let the strategy make the round; one that breaks counts as skipped where a guard takes it over."""
        try:
            report = self.strategy.step(self.host, batch)
            share_statistics(self.model, self.host.rank_sum, self.trainer.world_size)
            return report
        except NonFiniteError as error:
            if self.guard is None or not self.guard(error):
                raise
        self._outside["batch"] = None  # it may be what is broken: no measure of the state that is put back
        self.host.round += 1
        return RoundReport({}, skipped="a loss that is not finite")

    def _step_scheduler(self, report: RoundReport) -> None:
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            if report.losses:  # a round that broke has none
                scheduler.step(next(iter(report.losses.values())))
        elif scheduler is not None:
            scheduler.step()  # type: ignore[union-attr]

    def _log_round(self, report: RoundReport) -> None:
        values: dict[str, Any] = {f"loss/{side}": loss for side, loss in report.losses.items()}
        self.log_dict(values, prog_bar=True, batch_size=1)
        if not self.host.logged(self.host.round - 1):
            return  # no logger would keep them, and a dozen values cost milliseconds
        rest: dict[str, Any] = {"skipped": float(self.skipped_rounds)}
        if report.weights is not None:
            rest |= {"weight/retain": report.weights.retain, "weight/forget": report.weights.forget}
        if report.gram is not None and report.weights is not None:
            gram, weights = report.gram, report.weights
            rest |= {
                "gram/retain_retain": gram.rr,
                "gram/forget_forget": gram.ff,
                "gram/retain_forget": gram.rf,
            }
            rest |= {"gram/cosine": gram.cosine, "gram/direction_norm": gram.norm(weights)}
            rest |= {
                "lemma4/retain": gram.retain_effect(weights),
                "lemma4/forget": gram.forget_effect(weights),
            }
        diagnostics = getattr(self.trainer.optimizers[0], "diagnostics", None)
        if callable(diagnostics):
            found = diagnostics(self.host.rank_sum)
            rest |= {f"optimizer/{name}": value for name, value in found.items()}
        rest |= {f"effect/{side}": effect for side, effect in self.host.take_effects().items()}
        optimizer = self.optimizers()
        rest["lr"] = optimizer.param_groups[0]["lr"] * self.host.lr_scale  # type: ignore[union-attr]
        self.log_dict({name: _float32(value) for name, value in rest.items()}, batch_size=1)

    @torch.no_grad()
    def loss_on(self, side: Side, batch: Any) -> tuple[Tensor, Tensor]:
        """Return one side's objective on a batch in eval mode: sum and count over all ranks, float64.

        Args:
            side: Whose objective is evaluated.
            batch: That side's batch, or a list of micro-batches.

        Returns:
            Two 0-d float64 tensors; their quotient is the loss.
        """
        micro = list(batch) if isinstance(batch, (list, tuple)) else [batch]
        objective = self.objective(side)
        self.host.settle()
        penalty = objective.penalty(self.model, self.reference)  # type: ignore[arg-type]
        with eval_mode(self.model):
            parts = [objective(self.model, one, self.reference) for one in micro]
        sums = torch.stack([part.sums.double().sum() for part in parts]).sum()
        counts = torch.stack([part.counts.double().sum() for part in parts]).sum()
        total, count = self.host.rank_sum(torch.stack([sums, counts])).unbind()
        if penalty is not None:
            total = (
                total + (penalty.full_tensor() if isinstance(penalty, DTensor) else penalty).double() * count
            )
        return total, count

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer over the model's trainable parameters, and the schedule."""
        optimizer = self.optimizer(self.host.parameters)
        keep = getattr(optimizer, "keep_full_precision", None)
        if callable(
            keep
        ):  # an embedding's rows are seen seldom: in 8 bits their neighbours' scale drowns them
            tables = [part for part in self.model.modules() if isinstance(part, nn.Embedding)]
            keep([p for table in tables for p in table.parameters(recurse=False)])
        if self.scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what a resume needs, and refuse to write a model whose loss has diverged.

        The round's own losses are those before its step; without this look the step that ruins the
        model would be written over the last good checkpoint, one round before anybody notices.

        Raises:
            NonFiniteError: A loss is NaN or infinite on the round's own batch.
        """
        if self._outside["batch"] is not None:
            for side in self.strategy.sides:
                total, count = self.loss_on(side, self._outside["batch"][side])
                require_finite(float(total / count.clamp_min(1e-12)), side, self.host)
        checkpoint["unlearnkit"] = {
            "format": 1,
            "skipped_rounds": self.skipped_rounds,
            "reference": self._outside["fingerprint"],
            "method": method_of(self.strategy, self.trainer.optimizers[0]),
        }

    def require_same_method(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on from the state of another strategy or optimizer.

        Raises:
            MismatchError: The checkpoint was made with another one.
        """
        if self.trainer.state.fn == TrainerFn.FITTING:
            stand_in = self.optimizer([nn.Parameter(torch.zeros(1))])
            require_same_method(method_of(self.strategy, stand_in), checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the number of skipped rounds; refuse another target than the one the run compared with.

        Raises:
            MismatchError: The rebuilt reference is not the one of the checkpoint's run, or it was made with
                another strategy or optimizer.
        """
        self.require_same_method(checkpoint)
        saved = checkpoint.get("unlearnkit", {})
        self.skipped_rounds = int(saved.get("skipped_rounds", 0))
        own, theirs = self._outside["fingerprint"], saved.get("reference")
        if own is not None and theirs is not None:
            require_same_target(own, theirs)


def require_trainable(model: nn.Module, precision: str) -> None:
    """Refuse a model of which nothing can move, and a precision that would round its adapters.

    Raises:
        ConfigurationError: No parameter is trainable, or the trainer would turn fp32 adapters into half precision.
    """
    if getattr(model, "built", True) and not any(p.requires_grad for p in model.parameters()):
        raise ConfigurationError(
            "`model` must have a trainable parameter. Found none in "
            f"{type(model).__name__}. Set requires_grad=True on what may change, or attach an adapter (lora)."
        )
    if getattr(model, "lora", None) is not None and precision in ("bf16-true", "16-true"):
        raise ConfigurationError(
            f"`precision` must leave an adapter in fp32, where small steps are not rounded away. Found {precision!r} "
            "with `lora`. Use precision='32-true' with --model.model.dtype=bfloat16: weights in bf16, adapter in fp32."
        )


def default_optimizer(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return fused AdamW at 3e-4 without weight decay (decay would shrink what is to be kept)."""
    return torch.optim.AdamW(parameters, lr=3e-4, weight_decay=0.0, fused=True)


def check_optimizer(optimizer: OptimizerCallable) -> OptimizerCallable:
    """Build the optimizer once on a dummy, so that bad arguments fail before anything is loaded.

    Raises:
        ConfigurationError: The optimizer refuses its arguments.
    """
    try:
        optimizer([nn.Parameter(torch.zeros(1))])
    except ValueError as error:
        raise ConfigurationError(
            f"`optimizer` must get arguments in its range. Found: {error}. "
            "Learning rates must be 0 or above, e.g. --model.optimizer.lr=3e-4."
        ) from error
    return optimizer


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
