"""The contract's cases, and how they run: on one process, and on each rank of two with its share of the data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.distributed.tensor import DTensor

from unlearnkit.batches import SIDES, ForgetRetainBatch, LabelledBatch
from unlearnkit.callbacks import GeN
from unlearnkit.errors import ConfigurationError
from unlearnkit.modules import FSDP2, UnlearningModule
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.strategies import Alternate, Strategy
from unlearnkit.strategies.alternate import _shares
from unlearnkit.testing.host_contract import OPTIMIZERS, STRATEGIES
from unlearnkit.testing.stub_strategies import AlternatingStub, ReweightedStub, SidedSGD, Weighted
from unlearnkit.testing.toys import ToyClassifier, toy_pair

ROUNDS = 6

HOSTS: dict[str, Callable[[], Any]] = {
    "ddp": lambda: DDPStrategy(process_group_backend="gloo"),
    "ddp-views": lambda: DDPStrategy(process_group_backend="gloo", gradient_as_bucket_view=True),
    "ddp-unused": lambda: DDPStrategy(process_group_backend="gloo", find_unused_parameters=True),
    "ddp-static": lambda: DDPStrategy(process_group_backend="gloo", static_graph=True),
    "fsdp2": lambda: FSDP2(process_group_backend="gloo"),
}


@dataclass(frozen=True)
class Case:
    """One way to run six rounds.

    Attributes:
        kind: A name of ``STRATEGIES``, ``Alternating``, ``Alternate`` or ``Reweighted``.
        optimizer: A name of ``OPTIMIZERS`` or of ``BY_SIDE``.
        dtype: Type of the model and the inputs.
        gen: Arguments of GeN, or None for a fixed rate.
        settings: Further arguments of the module.
        parts: Into how many micro-batches every batch is cut; 0 hands in batches.
        uneven: Whether the second rank's are one list of a single batch (not under FSDP2).
        precision: Lightning's name of the precision.
        held: Whether the forget side is held from round 2 to 4.
        decayed: Whether the retain objective has a penalty on the parameters.
    """

    kind: str
    optimizer: str = "SGD"
    dtype: torch.dtype = torch.float64
    gen: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    parts: int = 0
    uneven: bool = False
    precision: Any = None
    held: bool = False
    decayed: bool = False


FORGET_STEPS, RETAIN_STEPS = 2, 3
"""Of ``Alternate``."""

BY_SIDE: dict[str, Callable[[Any], Any]] = {
    "Sided": SidedSGD,
    "DualOptim": lambda p: DualOptim(
        p,
        forget=partial(torch.optim.AdamW, lr=0.02, weight_decay=0.1),
        retain=partial(torch.optim.SGD, lr=0.05, momentum=0.5),
    ),
    "DualOptimPlus": lambda p: DualOptimPlus(p, lr=0.02, forget_lr=0.01, weight_decay=0.1),
    "DualOptimPlus-slides": lambda p: DualOptimPlus(p, lr=0.02, preset="slides"),
    "DualOptimPlus-authors": lambda p: DualOptimPlus(p, lr=0.02, preset="authors", second_moment="shared"),
}
"""Optimizers with state by side."""

KINDS = [
    "RetainOnly",
    "ForgetOnly",
    "FixedWeights",
    "LossNorm",
    "NGDiff",
    "Alternating",
    "Reweighted",
]
"""Loss-level, Gram-level, alternating and reweighting strategies, tried with everything."""

FURTHER = [name for name in STRATEGIES if name not in KINDS]
"""The other strategies, which differ from these in weights and state alone: one case each, ``NAME-SGD``."""

CASES: dict[str, Case] = (
    {f"{kind}-{name}": Case(kind, name) for kind in KINDS for name in OPTIMIZERS}
    | {f"{kind}-SGD": Case(kind) for kind in FURTHER}
    | {f"{kind}-SGD-fp32": Case(kind, dtype=torch.float32) for kind in ("NGDiff", "LossNorm", "Alternating")}
    | {f"{kind}-AdamW-parts": Case(kind, "AdamW", parts=3) for kind in KINDS}
    | {f"{kind}-SGD-parts": Case(kind, parts=3) for kind in ("FixedWeights", "Alternating")}
    | {
        "NGDiff-AdamW-clip": Case("NGDiff", "AdamW", settings={"clip": 0.3}),
        "LossNorm-SGD-clip": Case("LossNorm", settings={"clip": 0.01}),
        "FixedWeights-AdamW-clip": Case("FixedWeights", "AdamW", settings={"clip": 0.05}),
        "NGDiff-AdamW-side-clip": Case("NGDiff", "AdamW", settings={"side_clip": 0.05}),
        "Alternating-SGD-side-clip": Case("Alternating", settings={"side_clip": 0.02}),
        "NGDiff-AdamW-gen": Case("NGDiff", "AdamW", gen={"every": 2}),
        "NGDiff-SGD-gen": Case("NGDiff", gen={"every": 2}),
        "FixedWeights-SGD-gen-length": Case("FixedWeights", gen={"every": 3}),
        "Alternating-AdamW-gen": Case("Alternating", "AdamW", gen={"every": 2}),
        "NGDiff-AdamW-gen-parts": Case("NGDiff", "AdamW", gen={"every": 2}, parts=2),
        "Alternating-Sided": Case("Alternating", "Sided"),
        "Alternating-Sided-parts": Case("Alternating", "Sided", parts=2),
        "FixedWeights-SGD-penalty": Case("FixedWeights", decayed=True),
        "NGDiff-SGD-penalty": Case("NGDiff", decayed=True, gen={"every": 2}),
        "Alternating-SGD-penalty": Case("Alternating", decayed=True),
        "Alternating-SGD-penalty-parts": Case("Alternating", decayed=True, parts=2),
        **{f"Alternate-{name}": Case("Alternate", name) for name in BY_SIDE if name != "Sided"},
        "NGDiff-SGD-uneven": Case("NGDiff", parts=2, uneven=True),
        "LossNorm-SGD-uneven": Case("LossNorm", parts=2, uneven=True),
        "NGDiff-AdamW-held": Case("NGDiff", "AdamW", held=True),
        "LossNorm-SGD-held": Case("LossNorm", held=True),
        "Alternate-SGD": Case("Alternate"),
        "Alternate-AdamW": Case("Alternate", "AdamW"),
        "Alternate-AdamW-gen": Case("Alternate", "AdamW", gen={"every": 2}),
        "Alternate-AdamW-held": Case("Alternate", "AdamW", held=True),
        "Alternate-AdamW-parts": Case("Alternate", "AdamW", parts=4),
    }
)


def make_strategy(case: Case, forget: Weighted) -> Strategy:
    """Return the case's strategy; a reweighting one changes the weights of the forget objective."""
    if case.kind == "Alternating":
        return AlternatingStub(5, 3)
    if case.kind == "Alternate":
        return Alternate(FORGET_STEPS, RETAIN_STEPS, retain_clip=0.5, forget_rate=0.5)
    if case.kind == "Reweighted":
        return ReweightedStub(STRATEGIES["NGDiff"](), forget, every=2)
    return STRATEGIES[case.kind]()


def whole_batches(dtype: torch.dtype = torch.float64) -> list[ForgetRetainBatch]:
    """Return what one process sees: unequal sides, other samples each round."""
    return [toy_pair(forget=7 + r % 2, retain=11, seed=r, dtype=dtype) for r in range(ROUNDS)]


def some(batch: LabelledBatch, first: int, last: int | None) -> LabelledBatch:
    """Return some samples of a batch."""
    rows = slice(first, last)
    return {"inputs": batch["inputs"][rows], "targets": batch["targets"][rows], "index": batch["index"][rows]}


def share(batch: LabelledBatch, rank: int, border: int) -> LabelledBatch:
    """Return the samples of one rank: those before the border, or those from it on."""
    return some(batch, 0, border) if rank == 0 else some(batch, border, None)


def cut(batch: LabelledBatch, parts: int) -> LabelledBatch | list[LabelledBatch]:
    """Cut a batch into unequal micro-batches: two samples, one each, and the rest; some may be empty."""
    if parts == 0:
        return batch
    borders = [0, *range(2, parts + 1), None]  # for one part, all
    return [some(batch, low, high) for low, high in pairwise(borders)]


def local_batches(case: Case, rank: int | None) -> list[Any]:
    """Return one rank's unequal share, 5 + 2 forget and 4 + 7 retain samples; all of them for no rank.

    In round 2 the second rank has no forget sample at all. ``Alternate`` cuts each rank's own share; one process
    gets the samples of the same step of both ranks as micro-batches that it deals out to its steps.
    """
    if case.kind == "Alternate" and rank is None:
        both = [local_batches(case, 0), local_batches(case, 1)]
        return [
            {
                "forget": dealt([pair["forget"] for pair in pairs], FORGET_STEPS),
                "retain": dealt([pair["retain"] for pair in pairs], RETAIN_STEPS),
            }
            for pairs in zip(*both, strict=True)
        ]
    local = []
    for round_, batch in enumerate(whole_batches(case.dtype)):
        forget, retain = batch["forget"], batch["retain"]
        if rank is not None:
            forget = share(forget, rank, len(forget["index"]) if round_ == 2 else 5)
            retain = share(retain, rank, 4)
        parts = 1 if case.uneven and rank == 1 else case.parts
        local.append({"forget": cut(forget, parts), "retain": cut(retain, parts)})
    return local


class Decayed(NLL):
    """The negative log-likelihood and a tenth of all parameters squared."""

    def penalty(self, model, reference=None):
        """Return the sum of squares over the parameters, 0-d."""
        return 0.1 * torch.stack([p.square().sum() for p in model.parameters()]).sum()


def dealt(ranks: list[Any], steps: int) -> list[LabelledBatch]:
    """Return what all ranks together see in each step of a side."""
    shares = [_shares(batch, steps) for batch in ranks]
    return [joined([part for share in shares for part in _listed(share[t])]) for t in range(steps)]


def _listed(batch: Any) -> list[Any]:
    return batch if isinstance(batch, list) else [batch]


def joined(batches: list[LabelledBatch]) -> LabelledBatch:
    """Return several batches as one."""
    inputs, targets, index = (
        torch.cat([batch[name] for batch in batches]) for name in ("inputs", "targets", "index")
    )
    return {"inputs": inputs, "targets": targets, "index": index}


class Hold(Callback):
    """Hold the forget side in rounds 2 and 3."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        module.host.held = {"forget"} if batch_idx in (2, 3) else set()


def train(case: Case, batches: list[Any], **settings: Any) -> UnlearningModule:
    """Train the case on these batches and return the module."""
    forget = Weighted(AscentNLL(), rows=16)
    module = UnlearningModule(
        ToyClassifier(seed=3, dtype=case.dtype),
        forget=forget,
        retain=Decayed() if case.decayed else NLL(),
        strategy=make_strategy(case, forget),
        optimizer=(OPTIMIZERS | BY_SIDE)[case.optimizer],
        **case.settings,
    )
    callbacks: list[Any] = [GeN(**case.gen)] if case.gen is not None else []
    callbacks += [Hold()] if case.held else []
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=1,
        use_distributed_sampler=False,
        precision=case.precision,
        callbacks=callbacks,
        **settings,
    )
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    return module


def gathered(tensor: Tensor) -> Tensor:
    """Return a copy of a whole tensor, collected from all ranks where it is sharded."""
    found = tensor.detach()
    return found.full_tensor() if isinstance(found, DTensor) else found.clone()


def state(module: UnlearningModule) -> dict[str, Any]:
    """Return what must be equal on every rank and in one process."""
    optimizer = module.trainer.optimizers[0]
    moments = [
        gathered(value)
        for parameter in module.host.parameters
        for name, value in sorted(optimizer.state[parameter].items())
        if name.rpartition("/")[2] in ("exp_avg", "exp_avg_sq", "momentum_buffer", *SIDES)
        and value is not None
    ]
    return {
        "parameters": [gathered(p) for p in module.host.parameters],
        "moments": moments,
        "buffers": [b.clone() for b in module.strategy.buffers()],
        "losses": {side: loss.item() for side, loss in module.last_report.losses.items()},
        "scale": module.host.lr_scale,
        "rounds": module.host.round,
        "steps": module.trainer.global_step,
        "skipped": module.skipped_rounds,
    }


def run_one(name: str) -> dict[str, Any]:
    """Run a case in one process on all data."""
    return state(train(CASES[name], local_batches(CASES[name], None), devices=1))


def run_on_rank(host: str, name: str) -> dict[str, Any]:
    """Run a case on this rank's share."""
    warnings.simplefilter("ignore")
    rank = int(os.environ["RANK"])
    return state(train(CASES[name], local_batches(CASES[name], rank), devices=2, strategy=HOSTS[host]()))


def run_all_on_rank(host: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Run many cases one after the other."""
    return {name: run_on_rank(host, name) for name in names}


def refusal_on_rank(host: str, name: str, wrong: str) -> str:
    """Return the message with which a case is refused.

    Args:
        host: A name of ``HOSTS``.
        name: A name of ``CASES``.
        wrong: ``mixed`` hands in lists on the second rank alone, ``longer`` a longer list there.
    """
    rank = int(os.environ["RANK"])
    batches = local_batches(CASES[name], rank)
    if wrong == "longer" or (wrong == "mixed" and rank == 1):
        copies = 1 + (wrong == "longer" and rank == 1)
        batches = [{side: [batch] * copies for side, batch in pair.items()} for pair in batches]
    try:
        train(CASES[name], batches, devices=2, strategy=HOSTS[host]())
    except ConfigurationError as error:
        return str(error)
    raise AssertionError("it was not refused")
