"""Which rows of a batch are this rank's own: samplers repeat rows so that all ranks get equal numbers of batches."""

from __future__ import annotations

from typing import Any

from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import BatchSampler, DistributedSampler


def own_rows(trainer: Trainer, batch_idx: int, dataloader_idx: int) -> int | None:
    """Return how many leading rows of an evaluation batch count, the rest being another rank's rows again.

    ``DistributedSampler`` deals row ``r`` of ``n`` to rank ``r % ranks`` and fills up with rows dealt before, at the
    end. FSDP2 needs them, because each forward pass is an exchange between ranks; a mean over rows must not.

    Args:
        trainer: It is validating, testing or predicting.
        batch_idx: Number of the batch within its loader.
        dataloader_idx: Number of the loader.

    Returns:
        The number of rows, or None where all count: no such sampler gave the batch.
    """
    loops: dict[Any, Any] = {
        TrainerFn.FITTING: trainer.fit_loop.epoch_loop.val_loop,
        TrainerFn.VALIDATING: trainer.validate_loop,
        TrainerFn.TESTING: trainer.test_loop,
        TrainerFn.PREDICTING: trainer.predict_loop,
    }
    # Not `trainer.val_dataloaders`, which after a fit are still those of the fit.
    loader = loops[trainer.state.fn]._combined_loader.flattened[dataloader_idx]
    batches: Any = getattr(loader, "batch_sampler", None)
    batches = getattr(batches, "_batch_sampler", batches)  # to predict, the trainer wraps it
    sampler: Any = getattr(batches, "sampler", None)
    # Another class may deal otherwise.
    if type(batches) is not BatchSampler or type(sampler) not in (
        DistributedSampler,
        DistributedSamplerWrapper,
    ):
        return None
    size, own = batches.batch_size, len(range(sampler.rank, len(sampler.dataset), sampler.num_replicas))
    return min(size, max(0, own - batch_idx * size))
