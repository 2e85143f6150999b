"""CachedReference: what the reference answers in the rounds to come, so that the model itself can go.

Which sample a loss belongs to does not fix its last bit: the padding that it shares a batch with changes the
order in which sums run (on a tiny Llama in fp32, a sixth of the losses differ by up to 2e-7 between a sample alone
and in a batch; at the same padded length none does). The data module tells every batch to come, so losses are
kept by sample *and* padded shape, and a run with the cache ends with the bits of one without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from unlearnkit.batches import Side, micro_batches
from unlearnkit.errors import ConfigurationError

Shape = tuple[tuple[str, tuple[int, ...]], ...]
"""Shape of each of a batch's tensors but for the first dimension."""


@dataclass
class _Table:
    """Answers for one shape of batch, each [known samples], in the order of the samples' keys."""

    keys: Tensor
    losses: Tensor
    counts: Tensor

    def places(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return where each key is, and whether it is there, both [batch]."""
        found = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        return found, self.keys[found] == keys


class CachedReference:
    """Answer ``losses`` and ``counts`` of a reference from memory, by the samples' index.

    Of a second answer (``alternative``) it is index and choice that say which one it is.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch, cache = ToyClassifier(), toy_batch(3), CachedReference()
    >>> cache.add(model, batch)
    >>> torch.equal(cache.losses(batch), model.losses(batch).detach())
    True
    """

    def __init__(self) -> None:
        self._tables: dict[Shape, _Table] = {}

    @torch.no_grad()
    def add(self, reference: Any, batch: dict[str, Any], again: bool = False) -> None:
        """Ask the reference about a batch and its second answers, unless every answer is there already.

        Args:
            reference: Offers ``losses`` and ``counts``.
            batch: One side's batch, with ``index``.
            again: Ask in any case.
        """
        for part in _parts(batch):
            keys, table = _keys(part), self._tables.get(_shape(part))
            if not again and table is not None and bool(table.places(keys)[1].all()):
                continue
            losses, counts = reference.losses(part), reference.counts(part)
            if table is not None:
                # A sample that is known already keeps the answer it has: it is the same one.
                new = ~table.places(keys)[1]
                keys = torch.cat([table.keys, keys[new]])
                losses = torch.cat([table.losses, losses[new]])
                counts = torch.cat([table.counts, counts[new]])
            order = keys.argsort()
            self._tables[_shape(part)] = _Table(keys[order], losses[order], counts[order])

    def losses(self, batch: dict[str, Any]) -> Tensor:
        """Return the negative log-likelihood summed over each sample's scored units, [batch], nats.

        On an accelerator an unknown sample reads NaN, which stops the round: to look would synchronise.

        Raises:
            ConfigurationError: A sample, or its padded shape, was not in the rounds that were gone through.
        """
        table = self._table(batch)
        places, known = table.places(_keys(batch))
        found = torch.where(known, table.losses[places], math.nan)
        if found.device.type == "cpu" and bool(found.isnan().any()):
            raise _unknown(f"sample {int(batch['index'][found.isnan()][0])}")
        return found

    def counts(self, batch: dict[str, Any]) -> Tensor:
        """Return the number of scored units of each sample, [batch].

        Raises:
            ConfigurationError: The batch's padded shape was not in the rounds that were gone through.
        """
        table = self._table(batch)
        return table.counts[table.places(_keys(batch))[0]]

    def __call__(self, batch: dict[str, Any]) -> Any:
        """Refuse as ``units`` does.

        Raises:
            ConfigurationError: Always.
        """
        return self.units(batch)

    def units(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Refuse: a divergence needs the reference's whole distribution at each unit.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "`cache_reference` must be off for an objective that compares distributions, such as KLToReference. Found "
            "it on: one log-probability a sample is kept, and the KL divergence needs the reference model itself. "
            "Set cache_reference=false."
        )

    def _table(self, batch: dict[str, Any]) -> _Table:
        table = self._tables.get(_shape(batch))
        if table is None:
            raise _unknown(f"a batch of shape {dict(_shape(batch))}")
        return table


def require_known_batches(trainer: Trainer) -> None:
    """Refuse a run whose batches cannot be told in advance.

    Raises:
        ConfigurationError: The data module is not one of ours, or the run has no end.
    """
    datamodule: Any = getattr(trainer, "datamodule", None)
    if not (hasattr(datamodule, "batch") and hasattr(datamodule, "split")):
        raise ConfigurationError(
            "`cache_reference` must come with a data module of unlearnkit, whose batch(round) tells the batches to "
            f"come. Found {type(datamodule).__name__}. Use e.g. TOFU, or set cache_reference=false."
        )
    if trainer.max_steps == -1 and trainer.max_epochs == -1:
        raise ConfigurationError(
            "`max_steps` must be given with `cache_reference`, which asks the reference about every round before "
            "the first one. Found a run without an end. Set e.g. max_steps=60, or cache_reference=false."
        )


def ask_ahead(trainer: Trainer, reference: Any, sides: Iterable[Side]) -> CachedReference:
    """Ask a reference about every round that the trainer still has to do.

    Args:
        trainer: About to train; its data module tells the batches.
        reference: The live reference, on the trainer's device.
        sides: The sides whose objective compares with it.

    Raises:
        ConfigurationError: The data are augmented: a sample is another one in each round.
    """
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    if getattr(datamodule, "augment", "none") != "none":
        raise ConfigurationError(
            "`cache_reference` must be off where the data are augmented: answers are kept by sample, and a sample is "
            f"another image in each round. Found augment={datamodule.augment!r}. Set cache_reference=false."
        )
    cache = CachedReference()
    # A sharded reference answers when all ranks ask: none may leave out a batch that it happens to know.
    again = trainer.lightning_module.device_mesh is not None
    for round_ in range(trainer.global_step, int(trainer.estimated_stepping_batches)):
        batch = trainer.precision_plugin.convert_input(
            trainer.strategy.batch_to_device(datamodule.batch(round_))
        )
        with trainer.precision_plugin.forward_context():
            for side in sides:
                for micro in micro_batches(batch, side):
                    cache.add(reference, micro, again)
    return cache


def _parts(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a batch, and its second answers where it has them."""
    yield batch
    if "alternative" in batch:
        yield batch["alternative"]


def _keys(batch: dict[str, Any]) -> Tensor:
    """Return what tells each sample from all others of its shape, [batch]."""
    index: Tensor = batch["index"]
    return (index << 32) + batch["choice"] if "choice" in batch else index


def _shape(batch: dict[str, Any]) -> Shape:
    return tuple((name, tuple(v.shape[1:])) for name, v in sorted(batch.items()) if isinstance(v, Tensor))


def _unknown(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"`cache_reference` must see every batch before the first round. Found {what}, which is in none of the data "
        "module's rounds. Make a new module for each fit, or set cache_reference=false."
    )
