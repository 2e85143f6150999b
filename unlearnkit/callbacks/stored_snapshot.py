"""A snapshot in a checkpoint: whole tensors with the callback's state, shards with those of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from unlearnkit.callbacks.snapshot import Snapshot, live
from unlearnkit.sharding import local_part, sharded_modules


def store(snapshot: Snapshot, module: Any, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return what the callback's state keeps of a snapshot; shards go to the checkpoint's own.

    In the folder of a distributed checkpoint each rank writes its shards. In a file all of them are gathered, on
    rank 0. All ranks must call this.

    Args:
        snapshot: What is kept.
        module: The module whose state it is.
        checkpoint: What is about to be written.

    Returns:
        Its parts by name, and the names of those that are elsewhere, in ``entry``.
    """
    parts = snapshot.named()
    if not sharded_modules(module.model):
        return {"parts": parts, "shards": [], "entry": None}
    now = live(module).named()
    shards = {
        name: _cut_like(now[name], part) for name, part in parts.items() if isinstance(now.get(name), DTensor)
    }
    rest = {name: part for name, part in parts.items() if name not in shards}
    if not getattr(module.trainer.strategy, "_save_distributed_checkpoint", False):
        whole = {name: _gathered(shard, module.trainer.is_global_zero) for name, shard in shards.items()}
        return {"parts": rest | whole, "shards": [], "entry": None}
    # Of a callback's state rank 0 writes its own alone. What stands beside the optimizers' goes to torch's
    # distributed checkpoint under this name, and is not read as an optimizer because there is none for it.
    entry = f"optimizer_{len(checkpoint['optimizer_states'])}"
    checkpoint["optimizer_states"].append(shards)
    return {"parts": rest, "shards": sorted(shards), "entry": entry}


def load(stored: dict[str, Any], module: Any, path: str | Path, offload: bool = False) -> Snapshot:
    """Return the snapshot of a checkpoint, cut as the module's parameters are now.

    Args:
        stored: What ``store`` returned.
        module: The module, sharded and with the optimizer's state of the checkpoint where it is sharded at all.
        path: The checkpoint.
        offload: Whether the snapshot lies in the CPU's memory.
    """
    parts = dict(stored["parts"])
    if not sharded_modules(module.model):
        return Snapshot.from_named(parts)
    now = live(module).named()
    for name, part in parts.items():
        target = now.get(name)
        if isinstance(target, DTensor):
            parts[name] = local_part(_cut(part.to(target.device), target))
    if stored["shards"]:
        from torch.distributed.checkpoint.filesystem import FileSystemReader
        from torch.distributed.checkpoint.state_dict_loader import load as read

        own = Snapshot.take(module).named()  # right in shape, type and device; what they hold is overwritten
        shards = {name: _cut_like(now[name], own[name]) for name in stored["shards"]}
        read({stored["entry"]: shards}, storage_reader=FileSystemReader(path))
        parts |= {name: local_part(shard) for name, shard in shards.items()}
    snapshot = Snapshot.from_named(parts)
    return snapshot.on_cpu() if offload else snapshot


def _cut_like(whole: DTensor, part: Tensor) -> Tensor:
    """Return this rank's part as a tensor that is cut like another one, on the part's device."""
    cut = DTensor.from_local(
        part, whole.device_mesh, whole.placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )
    return cut.to(part.device)  # `from_local` has moved an offloaded part to the device of the mesh


def _cut(whole: Tensor, target: DTensor) -> Tensor:
    return distribute_tensor(whole, target.device_mesh, target.placements, src_data_rank=None)


@torch.no_grad()
def _gathered(shard: Any, keep: bool) -> Any:
    """Return a whole tensor in the CPU's memory, on the rank that keeps it; all must take part."""
    whole = shard.to(shard.device_mesh.device_type).full_tensor()
    return whole.cpu() if keep else None
