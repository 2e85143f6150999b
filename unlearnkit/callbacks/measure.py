"""The model's mean negative log-likelihood on some batches, the same number on every rank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import eval_mode
from unlearnkit.sharding import reshard, sharded_modules


@torch.no_grad()
def nll_totals(module: Any, batches: Iterable[tuple[Any, float]]) -> Tensor:
    """Return negative log-likelihood, nats, and number of scored units over the batches of all ranks, in eval mode.

    Batches that every rank goes through count as often as there are ranks. Under FSDP2 every forward pass is an
    exchange, so all ranks must hand in equally many.

    Args:
        module: The UnlearningModule inside a run.
        batches: Batches of this rank on its device, each with its weight: 1, or 0 for one that only keeps step.

    Returns:
        Both sums, [2], float64, on the device: nothing waits for it.
    """
    model = module.model
    totals = torch.zeros(2, dtype=torch.float64, device=module.device)
    with eval_mode(model):
        for batch, weight in batches:
            found = torch.stack([model.losses(batch).double().sum(), model.counts(batch).double().sum()])
            totals += found if weight else torch.zeros_like(found)
    reshard(sharded_modules(model))  # no copies gathered here may outlive a write into the shards
    everywhere: Tensor = module.host.rank_sum(totals)
    return everywhere


def mean_nll(module: Any, batches: Iterable[tuple[Any, float]]) -> float:
    """Return the negative log-likelihood per scored unit, nats; NaN where no unit is scored on any rank.

    Args:
        module: As in ``nll_totals``.
        batches: As there.
    """
    total, count = nll_totals(module, batches).tolist()
    return total / count if count else math.nan


def own_share(trainer: Trainer, datamodule: Any, part: str) -> Iterator[tuple[Any, float]]:
    """Go through this rank's share of one side, in as many batches as every other rank.

    Args:
        trainer: Knows rank, number of ranks and device.
        datamodule: Offers ``samples``, ``collate`` and ``batch_sizes``.
        part: The side.

    Yields:
        Each batch with 1, or a batch with 0 where this rank has no more.
    """
    samples, size = datamodule.samples(part), datamodule.batch_sizes["train"]
    world, rank = trainer.world_size, trainer.global_rank
    longest = math.ceil(len(samples) / world)
    own = range(rank, len(samples), world)
    for start in range(0, longest, size):
        chosen = own[start : start + size]
        batch = datamodule.collate([samples[i] for i in (chosen or range(1))])
        yield on_device(trainer, batch), float(len(chosen) > 0)


def all_of(
    trainer: Trainer, module: Any, batches: Iterable[Any], argument: str
) -> Iterator[tuple[Any, float]]:
    """Go through batches of which every rank has all, or as many as the others.

    Yields:
        Each batch with 1.

    Raises:
        ConfigurationError: There are none, or the ranks have unequal numbers of them.
    """
    found = list(batches)
    count = torch.tensor([float(len(found)), float(len(found) ** 2), 1.0], dtype=torch.float64)
    total, squares, world = module.host.rank_sum(count.to(module.device)).tolist()
    if total == 0 or squares * world != total**2:
        raise ConfigurationError(
            f"`{argument}` must hold as many batches on every rank, and at least one. Found {len(found)} on rank "
            f"{trainer.global_rank} and {total / world:g} on average. Give every rank all of them."
        )
    for batch in found:
        yield on_device(trainer, batch), 1.0


def on_device(trainer: Trainer, batch: Any) -> Any:
    """Return a batch on this rank's device, in the precision's type, and not augmented: it is for measuring."""
    return trainer.precision_plugin.convert_input(move_data_to_device(batch, trainer.strategy.root_device))
