"""A run resumed from its last checkpoint, at any round, ends with the same bits as one never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from tests.modules.tiny import flat, quiet, tiny_lm
from unlearnkit.callbacks import GeN
from unlearnkit.datamodules import TOFU
from unlearnkit.modules import FinetuningModule, UnlearningModule
from unlearnkit.objectives import (
    DPO,
    LLMU,
    NLL,
    NPO,
    RMU,
    AnswerPreservation,
    AscentNLL,
    HiddenToReference,
    KLToReference,
    NLLAndDistance,
)
from unlearnkit.strategies import (
    DWA,
    RLW,
    Alternate,
    FixedWeights,
    GradDrop,
    GradNorm,
    GradVaccine,
    LossNorm,
    NGDiff,
    PrimalDual,
)

ROUNDS = 7
STOPS = (1, 3, 6)
"""Within the first epoch of 4 rounds, before its last round, and within the second."""


def data(**changes: Any) -> TOFU:
    settings = {
        "authors": 10,
        "questions": 3,
        "vocab_size": 300,
        "max_length": 128,
        "knowledge": False,
        "forget_batch_size": 2,
        "retain_batch_size": 3,
        "train_batch_size": 4,
        "epoch_length": 4,
    }
    return TOFU(**(settings | changes))


def model(dropout: float = 0.3):
    return tiny_lm(dropout, vocabulary=300, max_length=128)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, fused=True)


def momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


class Spans(DWA):
    """Whose weights move within the rounds of these runs."""

    def __init__(self) -> None:
        super().__init__(every=2)


class Only:
    """Make an objective that looks at the only block.

    Args:
        kind: Its class.
    """

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self) -> Any:
        """Return a new one."""
        return self.kind(layer=0)


UNLEARNING = (
    {
        "ngdiff-npo-adamw-cosine": (
            {
                "forget": NPO,
                "strategy": NGDiff,
                "optimizer": adamw,
                "scheduler": lambda o: CosineAnnealingLR(o, 10),
            },
            {},
        ),
        "lossnorm-kl-sgd-lambda": (
            {
                "forget": AscentNLL,
                "retain": KLToReference,
                "strategy": LossNorm,
                "optimizer": momentum,
                "scheduler": lambda o: LambdaLR(o, lambda step: 0.9**step),
            },
            {},
        ),
        "ngdiff-gen": (
            {"forget": AscentNLL, "strategy": NGDiff, "optimizer": adamw},
            {"gen": {"every": 3}},
        ),
        "gdiff-gen-autogen-held-length": (
            {"forget": AscentNLL, "retain": NLL, "strategy": FixedWeights, "optimizer": momentum},
            {"gen": {"every": 2, "preset": "autogen"}},
        ),
    }
    | {
        # Strategies that carry state from round to round, or draw.
        kind.__name__: ({"forget": AscentNLL, "strategy": kind, "optimizer": momentum}, {})
        for kind in (GradVaccine, GradNorm, GradDrop, RLW, Spans, PrimalDual)
    }
    | {
        # Objectives that draw: second answers by the round, RMU's vector.
        "dpo-ap": (
            {"forget": DPO, "retain": AnswerPreservation, "strategy": Alternate, "optimizer": adamw},
            {},
        ),
        "llmu-distance-gen": (
            {"forget": LLMU, "retain": NLLAndDistance, "strategy": NGDiff, "optimizer": adamw},
            {"gen": {"every": 2, "preset": "autogen"}},
        ),
        "rmu": (
            {
                "forget": Only(RMU),
                "retain": Only(HiddenToReference),
                "strategy": NGDiff,
                "optimizer": momentum,
            },
            {},
        ),
    }
)


def callbacks(options: dict[str, Any], folder: Path | None) -> list[Any]:
    found: list[Any] = [GeN(**options["gen"])] if "gen" in options else []
    if folder is not None:
        found.append(ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}"))
    return found


@pytest.mark.parametrize("name", UNLEARNING)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_unlearning_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings, options = UNLEARNING[name]

    def module() -> UnlearningModule:
        made = {k: v() if isinstance(v, (type, Only)) else v for k, v in settings.items()}
        return UnlearningModule(model(), **made, seed=5)

    whole = module()
    trainer = quiet(
        callbacks=callbacks(options, tmp_path), enable_checkpointing=True, max_steps=ROUNDS, max_epochs=-1
    )
    trainer.fit(whole, data())
    assert whole.host.round == ROUNDS
    assert not torch.equal(flat(whole.model), flat(model()))
    for stop in STOPS:
        resumed = module()
        torch.manual_seed(stop)  # the generators' state is no part of a checkpoint, and is not needed
        again = quiet(callbacks=callbacks(options, None), max_steps=ROUNDS, max_epochs=-1)
        again.fit(resumed, data(), ckpt_path=tmp_path / f"step={stop}.ckpt", weights_only=True)
        assert resumed.host.round == ROUNDS
        assert torch.equal(flat(resumed.model), flat(whole.model)), f"after {stop} rounds"
        assert resumed.host.lr_scale == whole.host.lr_scale
        group, expected = resumed.optimizers().param_groups[0], whole.optimizers().param_groups[0]
        assert group["lr"] == expected["lr"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_finetuning_resumes_bit_for_bit(tmp_path: Path) -> None:
    def module() -> FinetuningModule:
        return FinetuningModule(model(), optimizer=adamw, warmup_steps=2, seed=5)

    whole = module()
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    settings = {"train_on": "full", "bucket": 2, "epoch_length": 4}
    quiet(callbacks=[keep], enable_checkpointing=True, max_epochs=2, max_steps=ROUNDS).fit(
        whole, data(**settings)
    )
    for stop in STOPS:
        resumed = module()
        path = tmp_path / f"step={stop}.ckpt"
        quiet(max_epochs=2, max_steps=ROUNDS).fit(
            resumed, data(**settings), ckpt_path=path, weights_only=True
        )
        assert torch.equal(flat(resumed.model), flat(whole.model)), f"after {stop} steps"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_finetuning_counts_its_epochs_over_several_resumes(tmp_path: Path) -> None:
    """The first resume begins with an epoch: Lightning alone would make 9 steps of 8 after the second."""
    settings = {"train_on": "full", "epoch_length": 4}
    for limit, last in ((4, None), (5, 4), (-1, 5)):
        keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        trainer = quiet(callbacks=[keep], enable_checkpointing=True, max_epochs=2, max_steps=limit)
        path = tmp_path / f"step={last}.ckpt" if last else None
        trainer.fit(FinetuningModule(model(), optimizer=adamw), data(**settings), ckpt_path=path)
    assert (trainer.global_step, trainer.current_epoch) == (8, 2)


def test_dropout_is_on_in_these_runs() -> None:
    """Else the tests above would prove nothing about the generators."""
    noisy, fixed = model(), model(0.0)
    tofu = data()
    tofu.setup("fit")
    batch = tofu.batch(0)["retain"]
    assert not torch.equal(noisy(batch), noisy(batch))
    assert torch.equal(fixed(batch), fixed(batch))
