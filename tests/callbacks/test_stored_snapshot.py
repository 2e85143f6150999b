"""What a checkpoint keeps of a snapshot comes back with the same bits, whole or in shards, also in 8 bits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from unlearnkit.callbacks.snapshot import Snapshot
from unlearnkit.callbacks.stored_snapshot import load, store
from unlearnkit.optim import DualOptim
from unlearnkit.sharding import local_part, shard_module

ADAMW = functools.partial(torch.optim.AdamW, lr=0.1)
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adamw": ADAMW,
    "8-bit": lambda p: DualOptim(p, forget=ADAMW, retain=ADAMW, state_bits=8),
}


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Any]:
    """Join a group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def running(optimizer: str, mesh: Any = None, folder: bool = True) -> Any:
    """Return what stands for a module inside a run that has made a step; sharded where there is a mesh."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))
    if mesh is not None:
        shard_module(model, mesh)
    parameters = list(model.parameters())
    made = OPTIMIZERS[optimizer](parameters)
    strategy = SimpleNamespace(_save_distributed_checkpoint=folder)
    trainer = SimpleNamespace(optimizers=[made], strategy=strategy, is_global_zero=True)
    own = {"host": SimpleNamespace(parameters=parameters), "trainer": trainer, "model": model}
    module = SimpleNamespace(**own, strategy=nn.Module(), objectives=nn.Module())
    step(module, 1)
    return module


def step(module: Any, seed: int) -> None:
    """Make a step along random gradients, and move the buffers."""
    optimizer = module.trainer.optimizers[0]
    for side in ("forget", "retain"):
        for parameter in module.host.parameters:
            parameter.grad = torch.zeros_like(parameter)
            generator = torch.Generator().manual_seed(seed)
            local_part(parameter.grad).copy_(torch.randn(parameter.shape, generator=generator))
        optimizer.step(**({"side": side} if isinstance(optimizer, DualOptim) else {}))
    for buffer in module.model.buffers():
        buffer.add_(seed)


def same(one: Snapshot, other: Snapshot) -> bool:
    """Say whether two snapshots have the same names and bits."""
    first, second = one.named(), other.named()
    return first.keys() == second.keys() and all(_equal(first[name], second[name]) for name in first)


def _equal(one: Any, other: Any) -> bool:
    if not hasattr(one, "__tensor_flatten__"):
        return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    names, _ = one.__tensor_flatten__()
    return type(one) is type(other) and all(torch.equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_whole_one_stays_with_the_callbacks_state(tmp_path: Path, optimizer: str) -> None:
    module = running(optimizer)
    kept, checkpoint = Snapshot.take(module), {"optimizer_states": [{}]}
    torch.save(store(kept, module, checkpoint), tmp_path / "state")
    assert checkpoint == {"optimizer_states": [{}]}
    stored = torch.load(tmp_path / "state", weights_only=True)
    assert same(load(stored, running(optimizer), tmp_path), kept)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_shards_go_with_those_of_the_model(tmp_path: Path, mesh: Any, optimizer: str) -> None:
    module = running(optimizer, mesh)
    kept = Snapshot.take(module)
    checkpoint: dict[str, Any] = {"optimizer_states": [{}]}
    stored = store(kept, module, checkpoint)
    assert not any(name.startswith("parameters") for name in stored["parts"])
    assert all(isinstance(shard, DTensor) for shard in checkpoint["optimizer_states"][1].values())
    states = {f"optimizer_{i}": state for i, state in enumerate(checkpoint["optimizer_states"])}
    dist.checkpoint.save(states, checkpoint_id=tmp_path / "folder")
    torch.save(stored, tmp_path / "state")
    again = running(optimizer, mesh)
    step(again, 2)
    before = Snapshot.take(again)
    read = load(torch.load(tmp_path / "state", weights_only=True), again, tmp_path / "folder")
    assert same(read, kept) and not same(before, kept)
    assert same(Snapshot.take(again), before), "the module is as it was"
    read.restore(again)
    assert same(Snapshot.take(again), kept)


def test_in_one_file_shards_are_gathered_and_cut_anew(tmp_path: Path, mesh: Any) -> None:
    module = running("adamw", mesh, folder=False)
    kept, checkpoint = Snapshot.take(module), {"optimizer_states": [{}]}
    torch.save(store(kept, module, checkpoint), tmp_path / "state")
    assert checkpoint == {"optimizer_states": [{}]}
    stored = torch.load(tmp_path / "state", weights_only=True)
    for again in (running("adamw", mesh), running("adamw")):
        assert same(load(stored, again, tmp_path), kept)
