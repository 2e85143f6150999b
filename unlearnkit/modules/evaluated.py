"""EvaluatedModule: what validate, test and predict do is the same for both modules."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from unlearnkit.modules.checkpoint_io import write_atomically
from unlearnkit.modules.checkpoints import refuse_damaged
from unlearnkit.modules.sharded import require_sharding, shard


class EvaluatedModule(LightningModule):
    """Build the network where it waits for a vocabulary; log each set's loss; predict.

    Attributes:
        model: Offers ``losses(batch) -> [B]`` and ``counts(batch) -> [B]``.
    """

    model: nn.Module

    def setup(self, stage: str) -> None:
        """Build the network where it waits for the vocabulary; have a damaged checkpoint refused."""
        refuse_damaged(self.trainer)
        write_atomically(self.trainer)
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        materialize = getattr(self.model, "materialize", None)
        if materialize is not None and getattr(datamodule, "tokenizer", None) is not None:
            materialize(datamodule.tokenizer)

    def configure_model(self) -> None:
        """Shard the model where the trainer's strategy is FSDP2; called once for each entry point of the trainer."""
        require_sharding(self.trainer.strategy)
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"], str(self.trainer.precision))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the mean negative log-likelihood of one evaluation set."""
        self._log_set_loss("val", batch, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the mean negative log-likelihood of one evaluation set."""
        self._log_set_loss("test", batch, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Return the model's own answer to each prompt, with set and index (language models), or its outputs."""
        model: Any = self.model
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(model, "predictions") and getattr(datamodule, "tokenizer", None) is not None:
            longest = int((batch["labels"] >= 0).sum(-1).max()) + 8
            ids = model.predictions(batch, longest, datamodule.tokenizer.eos_token_id)
            answers = datamodule.tokenizer.batch_decode(ids, skip_special_tokens=True)
            index, name = batch["index"].tolist(), self._set_name(dataloader_idx)
            return [
                {"set": name, "index": i, "answer": answer.strip()}
                for i, answer in zip(index, answers, strict=True)
            ]
        return model(batch)

    def _log_set_loss(self, stage: str, batch: Any, dataloader_idx: int) -> None:
        """Log ``<stage>/<set>_loss``, the negative log-likelihood per scored unit, nats."""
        model: Any = self.model
        name = self._set_name(dataloader_idx)
        units = int(model.counts(batch).sum())
        # Weighted by its units, so that the epoch's mean is the mean over units and not over batches.
        self.log(
            f"{stage}/{name}_loss",
            model.losses(batch).sum() / max(1, units),
            batch_size=units,
            add_dataloader_idx=False,
            prog_bar=True,
            sync_dist=True,
        )

    def _set_name(self, dataloader_idx: int) -> str:
        names = getattr(getattr(self.trainer, "datamodule", None), "evaluation_names", None)
        return str(names[dataloader_idx]) if names else str(dataloader_idx)
