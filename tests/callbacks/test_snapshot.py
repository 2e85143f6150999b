"""A snapshot brings everything back that rounds change, bit for bit."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from tests.callbacks.runs import fit, flat, module_for
from unlearnkit.callbacks.snapshot import Snapshot
from unlearnkit.modules import UnlearningModule
from unlearnkit.optim import DualOptim
from unlearnkit.testing import AlternatingStub, ToyClassifier, toy_pair

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "adamw-fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
}


def everything(module: UnlearningModule) -> list[torch.Tensor]:
    """Return copies of parameters, optimizer state and buffers."""
    state = module.trainer.optimizers[0].state
    moments = [v for p in module.host.parameters for _, v in sorted(state.get(p, {}).items())]
    buffers = [*module.model.buffers(), *module.strategy.buffers()]
    found = [*module.host.parameters, *moments, *buffers]
    return [t.detach().clone() for t in found if isinstance(t, torch.Tensor)]


class TakeAndRestore(Callback):
    """Take a snapshot after some rounds, restore it after others, and compare."""

    def __init__(self, take: int, restore: int, offload: bool) -> None:
        self.take, self.restore, self.offload = take, restore, offload
        self.compared = False

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.take:
            self.then, self.snapshot = everything(pl_module), Snapshot.take(pl_module, self.offload)
        if trainer.global_step == self.restore:
            assert not torch.equal(everything(pl_module)[0], self.then[0])
            for _ in range(2):  # what was put back must not be the copy itself
                self.snapshot.restore(pl_module)
                now = everything(pl_module)
                assert len(now) == len(self.then)
                assert all(torch.equal(a, b) for a, b in zip(now, self.then, strict=True))
                with torch.no_grad():
                    for parameter in pl_module.host.parameters:
                        parameter.add_(1.0)
            self.snapshot.restore(pl_module)
            self.compared = True


class WithBuffer(ToyClassifier):
    """A classifier with batch statistics."""

    def __init__(self):
        super().__init__(seed=0)
        self.norm = nn.BatchNorm1d(5)

    def forward(self, batch):
        return self.layer(self.norm(batch["inputs"]))


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("take", [0, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_everything_comes_back(tmp_path: Path, optimizer: str, take: int, offload: bool) -> None:
    module = UnlearningModule(WithBuffer(), strategy=AlternatingStub(2, 1), optimizer=OPTIMIZERS[optimizer])
    callback = TakeAndRestore(take, 4, offload)
    fit(module, 6, [callback], tmp_path)
    assert callback.compared


def test_the_optimizer_goes_on_from_what_was_put_back(tmp_path: Path) -> None:
    """With moments of its own in place: a run that went back equals one that never went on."""

    class Back(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 0:
                self.snapshot = Snapshot.take(pl_module)
            if trainer.global_step == 3:
                self.snapshot.restore(pl_module)

    def adam(p):
        return torch.optim.AdamW(p, lr=0.1)

    data = [toy_pair(seed=round_) for round_ in range(3)]
    back, plain = module_for(optimizer=adam), module_for(optimizer=adam)
    _fit_batches(back, [*data, *data], [Back()], tmp_path)
    _fit_batches(plain, data, [], tmp_path)
    assert torch.equal(flat(back), flat(plain))


def _fit_batches(module, batches, callbacks, folder):
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=callbacks,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("bits", [32, 8])
def test_an_optimizer_with_states_for_each_side_goes_back_too(
    bits: int, offload: bool, tmp_path: Path
) -> None:
    """States in 8 bits are no plain tensors: they cannot be cloned, and `to` shares their memory."""
    weight = nn.Parameter(torch.randn(64, 64))
    optimizer = DualOptim(
        [weight],
        forget=functools.partial(torch.optim.AdamW, lr=0.1),
        retain=functools.partial(torch.optim.SGD, lr=0.5, momentum=0.9),
        state_bits=bits,
    )
    parts = {"strategy": nn.Module(), "objectives": nn.Module(), "model": nn.ParameterList([weight])}
    host, trainer = SimpleNamespace(parameters=[weight]), SimpleNamespace(optimizers=[optimizer])
    module = SimpleNamespace(host=host, trainer=trainer, **parts)

    def both(seed: int) -> torch.Tensor:
        for side in ("forget", "retain"):
            weight.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(seed))
            optimizer.step(side=side)
        return weight.detach().clone()

    both(0)
    snapshot = Snapshot.take(module, offload)
    torch.save(snapshot.named(), tmp_path / "state")
    expected = both(1)
    both(2)
    snapshot.restore(module)
    assert torch.equal(both(1), expected)
    Snapshot.from_named(torch.load(tmp_path / "state", weights_only=True)).restore(module)
    assert torch.equal(both(1), expected)
