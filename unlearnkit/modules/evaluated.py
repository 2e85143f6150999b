"""EvaluatedModule: what validate, test and predict do is the same for both modules."""

from __future__ import annotations

from typing import Any

import torch.distributed
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from unlearnkit.errors import ConfigurationError
from unlearnkit.modules.checkpoint_io import write_atomically
from unlearnkit.modules.checkpoints import refuse_damaged
from unlearnkit.modules.own_rows import own_rows
from unlearnkit.modules.sharded import require_sharding, shard
from unlearnkit.sharding import reshard, sharded_modules

ROOM = 8
"""Tokens by which a predicted answer may be longer than the row's own."""


class EvaluatedModule(LightningModule):
    """Build the network where it waits for a vocabulary; log each set's loss; predict.

    Attributes:
        model: Offers ``losses(batch) -> [B]`` and ``counts(batch) -> [B]``.
    """

    model: nn.Module

    def setup(self, stage: str) -> None:
        """Build the network where it waits for what the data are like; have a damaged checkpoint refused."""
        refuse_damaged(self.trainer)
        write_atomically(self.trainer)
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        materialize = getattr(self.model, "materialize", None)
        traits = getattr(datamodule, "traits", None)
        if materialize is not None and traits is not None:
            materialize(traits)

    def configure_model(self) -> None:
        """Shard the model where the trainer's strategy is FSDP2; called once for each entry point of the trainer."""
        require_sharding(self.trainer.strategy)
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"], str(self.trainer.precision))
            # FSDP2 cannot gather parameters in inference mode. The trainer's loops then evaluate without gradients.
            trainer = self.trainer
            for loop in (trainer.fit_loop.epoch_loop.val_loop, trainer.validate_loop, trainer.test_loop):
                loop.inference_mode = False
            trainer.predict_loop.inference_mode = False

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the mean negative log-likelihood of one evaluation set."""
        self._log_set_loss("val", batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the mean negative log-likelihood of one evaluation set."""
        self._log_set_loss("test", batch, batch_idx, dataloader_idx)

    def on_predict_start(self) -> None:
        """Refuse loaders of unequal length under FSDP2, where ranks would wait for each other for ever.

        Raises:
            ConfigurationError: A rank has other numbers of batches than this one.
        """
        if self.device_mesh is None:
            return
        numbers = _of_all_ranks(self.trainer.num_predict_batches)
        if any(found != numbers[0] for found in numbers):
            raise ConfigurationError(
                "`dataloaders` must hold as many batches on every rank under FSDP2, where each forward pass is an "
                f"exchange between ranks. Found {numbers}, rank by rank: the sampler that the trainer puts in to "
                "predict does not fill up. Use a data module of unlearnkit, or sampler=DistributedSampler(rows, "
                "shuffle=False), whose repeated rows are left out of the predictions."
            )

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Return the model's own answer to each prompt, with set and index (language models), or its outputs.

        An answer is cut ``ROOM`` tokens beyond the length of the row's own.
        """
        model: Any = self.model
        own = own_rows(self.trainer, batch_idx, dataloader_idx)
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(model, "predictions") or getattr(datamodule, "tokenizer", None) is None:
            return tree_map_only(Tensor, lambda out: out[:own] if out.dim() else out, model(batch))
        name, tokenizer = self._set_name(dataloader_idx), datamodule.tokenizer
        ids = self._generate(batch, tokenizer.eos_token_id)[:own]
        answers = tokenizer.batch_decode(ids, skip_special_tokens=True) if ids else []
        return [
            {"set": name, "index": i, "answer": answer.strip()}
            for i, answer in zip(batch["index"][:own].tolist(), answers, strict=True)
        ]

    def _generate(self, batch: Any, eos_id: int) -> list[list[int]]:
        """Continue the prompts; sharded, every rank those of all ranks, as each step of each is an exchange."""
        model: Any = self.model
        rank, batches = 0, [batch]
        if self.device_mesh is not None:
            rank = torch.distributed.get_rank()
            batches = _of_all_ranks(move_data_to_device(batch, torch.device("cpu")))
        limits = [((found["labels"] >= 0).sum(-1) + ROOM).tolist() for found in batches]
        ids = [model.predictions(*pair, eos_id) for pair in zip(batches, map(max, limits), strict=True)]
        # Each by its own limit: what an answer says must not hang on the rows that share its batch.
        return [new[:limit] for new, limit in zip(ids[rank], limits[rank], strict=True)]

    def on_validation_epoch_end(self) -> None:
        """Leave the parameters as shards: FSDP2 keeps the root's gathered after a forward pass without gradients."""
        reshard(sharded_modules(self.model))

    def on_test_epoch_end(self) -> None:
        """Leave the parameters as shards."""
        reshard(sharded_modules(self.model))

    def on_predict_epoch_end(self) -> None:
        """Leave the parameters as shards."""
        reshard(sharded_modules(self.model))

    def _log_set_loss(self, stage: str, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        """Log ``<stage>/<set>_loss``, the negative log-likelihood per scored unit over all ranks, nats."""
        model: Any = self.model
        own = own_rows(self.trainer, batch_idx, dataloader_idx)
        units = int(model.counts(batch)[:own].sum())
        self.log(
            f"{stage}/{self._set_name(dataloader_idx)}_loss",
            model.losses(batch)[:own].sum() / max(1, units),
            # Weighted by its units, so that the epoch's mean is the mean over units and not over batches; times the
            # ranks, because Lightning divides the sum of these whole numbers by their number and cuts the rest off.
            batch_size=units * self.trainer.world_size,
            add_dataloader_idx=False,
            prog_bar=True,
            sync_dist=True,
        )

    def _set_name(self, dataloader_idx: int) -> str:
        names = getattr(getattr(self.trainer, "datamodule", None), "evaluation_names", None)
        return str(names[dataloader_idx]) if names else str(dataloader_idx)


def _of_all_ranks(value: Any) -> list[Any]:
    """Return what each rank hands in, by rank."""
    found = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found
