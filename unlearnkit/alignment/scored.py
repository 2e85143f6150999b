"""Batches of responses, each on the model's device and each with something to score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lightning.fabric.utilities import move_data_to_device

from unlearnkit.batches import IGNORE
from unlearnkit.errors import DataError


def scored_batches(model: Any, batches: Iterable[Any], what: str) -> Iterator[Any]:
    """Yield batches on the model's device.

    Args:
        model: A module.
        batches: Batches of token sequences.
        what: Name of the argument they came by, for messages.

    Raises:
        DataError: There is none, or a row has no response: none of its tokens is scored.
    """
    device = next(model.parameters()).device
    found = 0
    for batch in batches:
        for answers in (batch, batch.get("alternative", batch)):
            empty = (answers["labels"][:, 1:] == IGNORE).all(1)
            if bool(empty.any()):
                raise DataError(
                    f"`{what}` must have a response in every row. Found none in row {int(answers['index'][empty][0])}: "
                    "no token of it is scored. Take the row out, or label its response's tokens."
                )
        found += len(batch["index"])
        yield move_data_to_device(batch, device)
    if not found:
        raise DataError(f"`{what}` must hold at least one row. Found none. Give some responses.")
