"""FSDP2 for any model of unlearnkit: how it is sharded, and the trainer strategy `fsdp2`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import register_fsdp_forward_method

from unlearnkit.errors import ConfigurationError
from unlearnkit.sharding import shard_module, sharded_modules

FORWARD_METHODS = (
    "losses",
    "units",
    "token_losses",
    "hidden_states",
    "score_ids",
    "token_statistics_ids",
    "generate_ids",
    "predictions",
)
"""Methods of the model protocol that use parameters: FSDP2 gathers them for ``__call__`` only, unless told."""


def shard(model: nn.Module, mesh: DeviceMesh, precision: str = "32-true") -> None:
    """Shard a model's parameters over the ranks of a mesh, in place; a sharded one stays as it is.

    The units gathered together are those of ``model.shard_units()`` where the model offers it (the blocks
    of a transformer), and the rest. The root is the wrapped ``network``, whose own call gathers, where it
    holds all parameters; else the model, whose methods are registered.

    Args:
        model: The model, whole on each rank and equal on all.
        mesh: One-dimensional mesh of the ranks that see different data.
        precision: The trainer's. Under ``bf16-mixed`` parameters are gathered in bf16: autocast alone would keep
            a whole bf16 copy of each layer's weight until its backward pass, on every rank.
    """
    if sharded_modules(model):
        return
    gather = torch.bfloat16 if precision == "bf16-mixed" else None
    units = getattr(model, "shard_units", None)
    for unit in units() if callable(units) else []:
        shard_module(unit, mesh, gather)
    network = getattr(model, "network", None)
    inside = isinstance(network, nn.Module) and len(list(network.parameters())) == len(
        list(model.parameters())
    )
    root = network if inside and isinstance(network, nn.Module) else model
    shard_module(root, mesh, gather)
    if root is model:
        for name in FORWARD_METHODS:
            if callable(getattr(model, name, None)):
                register_fsdp_forward_method(model, name)


class FSDP2(ModelParallelStrategy):
    """Shard parameters, gradients and optimizer state over all processes: ``Trainer(strategy="fsdp2")``.

    Lightning's own default of ``ModelParallelStrategy`` is tensor parallelism over the devices of a node and
    no data parallelism at all; here every process is one more shard. A checkpoint is written under a
    temporary name and renamed when it is whole.

    Args:
        save_distributed_checkpoint: Whether each rank writes its own shards into a folder; False gathers all on
            rank 0 into one file.
        process_group_backend: Name of torch's backend; None takes nccl for GPUs and gloo for CPUs.
    """

    def __init__(
        self, save_distributed_checkpoint: bool = True, process_group_backend: str | None = None
    ) -> None:
        super().__init__(
            data_parallel_size="auto",
            tensor_parallel_size=1,
            save_distributed_checkpoint=save_distributed_checkpoint,
            process_group_backend=process_group_backend,
        )

    def setup_environment(self) -> None:
        """Count every process as a data-parallel one."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; one of another strategy or optimizer is refused by name, not by a key it lacks."""
        meta = Path(self.broadcast(checkpoint_path)) / "meta.pt"
        check = getattr(self.lightning_module, "require_same_method", None)
        if callable(check) and meta.is_file():
            check(torch.load(meta, weights_only=weights_only))
        found: dict[str, Any] = super().load_checkpoint(checkpoint_path, weights_only)
        return found

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint; its name is there only when all ranks have written their part."""
        target = Path(self.broadcast(filepath))
        temporary = target.with_name(f".{target.name}.tmp")
        if self.is_global_zero:
            _remove(temporary)
        self.barrier()
        super().save_checkpoint(checkpoint, temporary, storage_options)
        self.barrier()
        if self.is_global_zero:
            replace(target, temporary)
        self.barrier()


def replace(target: Path, temporary: Path) -> None:
    """Give a finished checkpoint its name, an old one's place included.

    Removing a folder takes many steps: it is done under another name, after the new one is in its place.
    """
    old = target.with_name(f".{target.name}.old")
    _remove(old)
    if target.exists():
        target.rename(old)
    temporary.rename(target)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def require_sharding(strategy: Any) -> None:
    """Refuse Lightning's own ModelParallelStrategy where it would train without data parallelism.

    Raises:
        ConfigurationError: Its mesh splits each layer over several devices (tensor parallelism).
    """
    if isinstance(strategy, ModelParallelStrategy) and strategy.device_mesh["tensor_parallel"].size() > 1:
        raise ConfigurationError(
            "`strategy` must shard over data-parallel ranks only. Found a ModelParallelStrategy with "
            f"tensor_parallel_size={strategy.device_mesh['tensor_parallel'].size()}, which Lightning sets to the "
            'number of devices by default. Use strategy="fsdp2", or tensor_parallel_size=1 and data_parallel_size.'
        )


if "fsdp2" not in StrategyRegistry:
    StrategyRegistry.register("fsdp2", FSDP2, description="FSDP2 over all processes")
