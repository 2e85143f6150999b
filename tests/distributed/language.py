"""Language models on one process and on each rank of two: reference models, adapters, masked batches, evaluation."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tests.distributed.contract import HOSTS, OPTIMIZERS, gathered
from tests.modules.tiny import Tokens, loader, quiet, tokens
from unlearnkit.batches import IGNORE
from unlearnkit.callbacks import GeN
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import (
    DPO,
    LLMU,
    NLL,
    NPO,
    RMU,
    AnswerPreservation,
    AscentNLL,
    FDivergence,
    HiddenToReference,
    KLToReference,
    NLLAndDistance,
    SimNPO,
)
from unlearnkit.strategies import FixedWeights, NGDiff

ROUNDS = 5


@dataclass(frozen=True)
class Case:
    """One way to run five rounds on a GPT-2 of two blocks.

    Attributes:
        forget: Class of the forget objective.
        retain: Class of the retain objective.
        strategy: Class of the strategy.
        lora: Whether an adapter is trained in place of the weights.
        gen: Whether GeN sets the rate, in every second round.
        masked: Rank whose forget batch has no scored token in rounds 1 and 3, ``both``, or None.
        settings: Further arguments of the module.
    """

    forget: type = AscentNLL
    retain: type = NLL
    strategy: type = NGDiff
    lora: bool = False
    gen: bool = False
    masked: int | str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


class FirstBlock(RMU):
    """RMU at the first of the two blocks: the second one's weights have gradients of zero."""

    def __init__(self) -> None:
        super().__init__(layer=0)


class FirstBlockKept(HiddenToReference):
    """Its retain side."""

    def __init__(self) -> None:
        super().__init__(layer=0)


CASES: dict[str, Case] = {
    "ngdiff": Case(),
    "npo": Case(NPO),
    "npo-kl-gdiff": Case(NPO, KLToReference, FixedWeights),
    "lora": Case(lora=True),
    "gen": Case(gen=True),
    "lora-npo-kl": Case(NPO, KLToReference, lora=True),
    "masked-on-one-rank": Case(masked=1),
    "masked-on-both": Case(masked="both"),
    "masked-npo-gdiff": Case(NPO, strategy=FixedWeights, masked=1),
    "dpo-ap": Case(DPO, AnswerPreservation),
    "lora-dpo-kl": Case(DPO, KLToReference, lora=True),
    "llmu-gdiff": Case(LLMU, strategy=FixedWeights),
    "masked-simnpo-js": Case(SimNPO, FDivergence, masked=1),
    "npo-distance": Case(NPO, NLLAndDistance),
    "rmu-hidden": Case(FirstBlock, FirstBlockKept),
}


def model(case: Case) -> CausalLM:
    """Return the float64 model; GPT-2, because Llama's norm computes in fp32 whatever the type."""
    found = CausalLM(
        shape="gpt2-xl", width=16, layers=2, lora=LoRA(rank=2, alpha=4.0, dropout=0.0) if case.lora else None
    )
    found.materialize(Tokens(23))
    for module in found.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # the masks of two ranks are not those of one
    return found.double()


def part(batch: dict[str, Any], rank: int | None, border: int) -> dict[str, Any]:
    """Return the rows of one rank, or all of them."""
    if rank is None:
        return batch
    rows = slice(border) if rank == 0 else slice(border, None)
    return {
        name: part(value, rank, border) if isinstance(value, dict) else value[rows]
        for name, value in batch.items()
    }


def masked(batch: dict[str, Any], rows: slice) -> dict[str, Any]:
    """Score no token of these rows."""
    labels = batch["labels"].clone()
    labels[rows] = IGNORE
    return {**batch, "labels": labels}


def batches(case: Case, rank: int | None) -> list[Any]:
    """Return one rank's share: 3 + 2 forget and 1 + 4 retain sequences."""
    found = []
    for round_ in range(ROUNDS):
        forget, retain = (
            tokens(5, 2 * round_ + i) | {"alternative": tokens(5, 50 + 2 * round_ + i, length=7)}
            for i in range(2)
        )
        if case.masked is not None and round_ in (1, 3):
            forget = masked(forget, slice(None) if case.masked == "both" else slice(3, None))
        found.append({"forget": part(forget, rank, 3), "retain": part(retain, rank, 1)})
    return found


def train(case: Case, rank: int | None, **settings: Any) -> UnlearningModule:
    """Train the case and return the module."""
    warnings.simplefilter("ignore")
    module = UnlearningModule(
        model(case),
        forget=case.forget(),
        retain=case.retain(),
        strategy=case.strategy(),
        # Adam divides noise by noise in GPT-2's key bias, whose true gradient is zero; GeN would spread it, and the
        # distance counts it.
        optimizer=OPTIMIZERS["SGD" if case.gen or case.retain is NLLAndDistance else "AdamW"],
        **case.settings,
    )
    callbacks = [GeN(every=2)] if case.gen else []
    quiet(use_distributed_sampler=False, callbacks=callbacks, **settings).fit(
        module, loader(batches(case, rank))
    )
    return module


def state(module: UnlearningModule) -> dict[str, Any]:
    """Return what must be equal, and what the model says of two questions after training."""
    network: Any = module.model
    parameters = [gathered(p) for p in module.host.parameters]
    scores = network.score_ids([([3, 4, 5], [6, 7, 2]), ([8, 9], [10, 2])])
    answers = network.generate_ids([[3, 4, 5], [8, 9]], 4, 2)
    again = [gathered(p) for p in module.host.parameters]
    return {
        "parameters": parameters,
        "losses": {side: loss.item() for side, loss in module.last_report.losses.items()},
        "skipped": module.last_report.skipped,
        "scale": module.host.lr_scale,
        "scores": [score.nll for score in scores],
        "answers": answers,
        "untouched": all(torch.equal(a, b) for a, b in zip(parameters, again, strict=True)),
    }


def run_one(name: str) -> dict[str, Any]:
    """Run a case in one process on all data."""
    return state(train(CASES[name], None))


def run_on_rank(host: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Run cases on this rank's share."""
    rank = int(os.environ["RANK"])
    return {name: state(train(CASES[name], rank, devices=2, strategy=HOSTS[host]())) for name in names}
