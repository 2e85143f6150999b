"""A checkpoint goes on with the strategy and the optimizer that made it, bit for bit, or not at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.modules.tiny import flat, loader, pairs, quiet, tiny_lm
from unlearnkit.datamodules import TOFU
from unlearnkit.errors import MismatchError
from unlearnkit.modules import UnlearningModule
from unlearnkit.modules.method import method_of
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.optim.state_8bit import holds
from unlearnkit.strategies import Alternate, NGDiff

OPTIMIZERS: dict[str, Any] = {
    "AdamW": partial(AdamW, lr=0.01),
    "DualOptim": lambda p: DualOptim(
        p, partial(AdamW, lr=0.01, fused=True), partial(SGD, lr=0.02, momentum=0.9)
    ),
    "DualOptimPlus": partial(DualOptimPlus, lr=0.01, forget_lr=0.005),
    "DualOptimPlus-slides": partial(DualOptimPlus, lr=0.01, preset="slides"),
    "DualOptim-8bit": lambda p: DualOptim(p, partial(AdamW, lr=0.01), partial(AdamW, lr=0.01), state_bits=8),
    "DualOptimPlus-8bit": partial(DualOptimPlus, lr=0.01, state_bits=8),
}
ROUNDS = 5


def data() -> TOFU:
    """Return four authors; the second of the five rounds ends an epoch."""
    return TOFU(
        authors=10,
        questions=3,
        vocab_size=300,
        max_length=128,
        knowledge=False,
        forget_batch_size=2,
        retain_batch_size=3,
        epoch_length=2,
    )


def module(optimizer: str, strategy: Any = None) -> UnlearningModule:
    return UnlearningModule(
        tiny_lm(0.3, vocabulary=300, hidden_size=64, max_length=128),
        strategy=strategy or Alternate(2, 3, forget_rate=0.5),
        optimizer=OPTIMIZERS[optimizer],
        scheduler=lambda o: CosineAnnealingLR(o, 10),
        seed=5,
    )


def checkpoint(optimizer: str, folder: Path, rounds: int = 2) -> tuple[UnlearningModule, Path]:
    """Return a module trained for all rounds, and its checkpoint after some of them."""
    made = module(optimizer)
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    quiet(callbacks=[keep], enable_checkpointing=True, max_steps=ROUNDS, max_epochs=-1).fit(made, data())
    return made, folder / f"step={rounds}.ckpt"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_ends_with_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    whole, path = checkpoint(optimizer, tmp_path)
    resumed = module(optimizer)
    quiet(max_steps=ROUNDS, max_epochs=-1).fit(resumed, data(), ckpt_path=path, weights_only=True)
    assert torch.equal(flat(resumed.model), flat(whole.model))
    assert not torch.equal(flat(whole.model), flat(module(optimizer).model))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("optimizer", "strategy", "message"),
    [
        (
            "DualOptimPlus",
            NGDiff,
            "`strategy` of the checkpoint must be the one that goes on, NGDiff. Found Alternate.",
        ),
        (
            "AdamW",
            None,
            r"`optimizer` of the checkpoint must be the one that goes on, AdamW. Found DualOptimPlus\(order",
        ),
        (
            "DualOptimPlus-slides",
            None,
            r"second_moment=plus, state_bits=32\). Found .*second_moment=decoupled",
        ),
        ("DualOptimPlus-8bit", None, r"state_bits=8\). Found .*state_bits=32"),
    ],
)
def test_another_one_is_refused_by_name(optimizer: str, strategy: Any, message: str, tmp_path: Path) -> None:
    _, path = checkpoint("DualOptimPlus", tmp_path)
    other = module(optimizer, strategy() if strategy is not None else None)
    with pytest.raises(MismatchError, match=message):
        quiet(max_steps=ROUNDS).fit(other, data(), ckpt_path=path, weights_only=True)


def test_names() -> None:
    p = torch.zeros(1)
    assert method_of(Alternate(), AdamW([p])) == {"strategy": "Alternate", "optimizer": "AdamW"}
    assert method_of(NGDiff(), OPTIMIZERS["DualOptim"]([p]))["optimizer"] == (
        "DualOptim(forget=AdamW, retain=SGD, state_bits=32)"
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_embeddings_keep_their_precision_and_negative_second_moments_are_logged(tmp_path: Path) -> None:
    made = module("DualOptimPlus-8bit")
    made.optimizer = partial(DualOptimPlus, lr=0.01, preset="slides", state_bits=8)
    made.model = tiny_lm(vocabulary=80, hidden_size=64)  # that of the batches below is smaller
    logger = CSVLogger(tmp_path)
    quiet(max_steps=3, logger=logger, log_every_n_steps=1).fit(made, loader(pairs(3)))
    state = made.trainer.optimizers[0].state
    table = made.model.network.get_input_embeddings().weight
    assert table.numel() >= 4096
    eight = [holds(state[p], "forget/exp_avg") for p in made.host.parameters]
    assert any(eight)
    assert not holds(state[table], "forget/exp_avg")
    lines = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    assert "optimizer/negative_v/forget" in columns and "optimizer/negative_v/retain" in columns
    found = [float(line.split(",")[columns.index("optimizer/negative_v/retain")]) for line in lines[1:]]
    assert len(found) == 3 and all(0 <= fraction < 1 for fraction in found)
