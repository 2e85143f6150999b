"""PairedDatasets: any two map-style data sets as the forget and the retain side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch.utils.data import default_collate

from unlearnkit.artifacts import Split
from unlearnkit.batches import LabelledBatch, Side
from unlearnkit.datamodules.base import ForgetRetainDataModule, Part
from unlearnkit.errors import DataError


class PairedDatasets(ForgetRetainDataModule):
    """Pair two data sets of ``(input, target)`` samples; a sample's index counts forget first, then retain.

    Args:
        forget: Map-style data set to forget.
        retain: Map-style data set to keep.
        batch_size: Samples of each side in a round.
        seed: Seed of every draw.

    Raises:
        DataError: A data set is empty or has no length; in ``setup``: a sample is on both sides, or a data set
            to train on has fewer samples than there are processes.

    >>> data = PairedDatasets([(torch.zeros(2), 0)] * 3, [(torch.ones(2), 1)] * 5, batch_size=2)
    >>> data.setup()
    >>> data.batch(0)["retain"]["targets"].tolist()
    [1, 1]
    """

    def __init__(self, forget: Any, retain: Any, *, batch_size: int = 32, seed: int = 0) -> None:
        for name, found in (("forget", forget), ("retain", retain)):
            if not hasattr(found, "__len__") or not hasattr(found, "__getitem__"):
                raise DataError(
                    f"`{name}` must be a map-style data set, with a length and samples by number. Found "
                    f"{type(found).__name__}. Wrap it in a list, or in a torch Dataset."
                )
            if len(found) == 0:
                raise DataError(
                    f"`{name}` must hold at least one sample. Found none. Check how it was selected."
                )
        super().__init__(
            forget_batch_size=min(batch_size, len(forget)),
            retain_batch_size=min(batch_size, len(retain)),
            train_batch_size=batch_size,
            seed=seed,
        )
        self.sets: dict[Side, Any] = {"forget": forget, "retain": retain}

    def setup(self, stage: str | None = None) -> None:
        """Name the split: its hash covers the samples themselves, so other data are another split.

        Raises:
            DataError: A sample is on both sides, or a side to train on has fewer samples than there are processes.
        """
        if stage in (None, "fit") and self.train_on == "pair":
            self._require_a_sample_each()
        if self._split is None:
            forget, retain = len(self.sets["forget"]), len(self.sets["retain"])
            digest = hashlib.sha256()
            seen: dict[bytes, int] = {}
            for index, sample in chain(self.samples("forget"), self.samples("retain")):
                own = hashlib.sha256(b"".join(_content(sample))).digest()
                digest.update(own)
                if index < forget:
                    seen.setdefault(own, index)
                elif own in seen:
                    raise DataError(
                        f"`forget` and `retain` must not share samples. Found sample {seen[own]} of `forget` again as "
                        f"sample {index - forget} of `retain`. Take it out of one side."
                    )
            self._split = Split(
                name="two data sets",
                forget=tuple(range(forget)),
                retain=tuple(range(forget, forget + retain)),
                source=f"samples {digest.hexdigest()[:16]}",
                rows=forget + retain,
            )

    def _require_a_sample_each(self) -> None:
        """Refuse a side that cannot give every process a sample; here, because all processes come by."""
        world = self._place()[1]
        for side, found in self.sets.items():
            if len(found) < world:
                raise DataError(
                    f"`{side}` must hold a sample for each process. Found {len(found)} of them for {world} processes: "
                    "the data set has fewer rows than there are processes, whatever the batch size. Use "
                    f"{len(found)} device{'s' * (len(found) > 1)}, or add samples."
                )

    def samples(self, part: Part) -> Sequence[Any]:
        """Return the samples of one side (or of both) with their index."""
        forget = _Indexed(self.sets["forget"], 0)
        retain = _Indexed(self.sets["retain"], len(forget))
        if part == "train":
            return [*forget, *retain] if self.train_on == "full" else retain
        return forget if part == "forget" else retain

    def collate(self, samples: Sequence[Any]) -> LabelledBatch:
        """Stack some samples."""
        inputs, targets = default_collate([pair for _, pair in samples])
        return {"inputs": inputs, "targets": targets, "index": torch.tensor([index for index, _ in samples])}


def _content(value: Any) -> Iterator[bytes]:
    """Yield what tells one sample from another, at any depth of dicts, lists and tuples."""
    if isinstance(value, dict):
        value = sorted(value.items())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _content(item)
    elif hasattr(value, "__array__") or isinstance(value, torch.Tensor):
        tensor = torch.as_tensor(value).detach().cpu().contiguous()
        yield f"{tensor.dtype}{tuple(tensor.shape)}".encode()
        yield tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield repr(value).encode()


class _Indexed(Sequence[Any]):
    """A data set whose samples come with their index in the split."""

    def __init__(self, samples: Any, first: int) -> None:
        self.rows = samples
        self.first = first

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: Any) -> Any:
        if not 0 <= position < len(self.rows):
            raise IndexError(position)
        return self.first + position, self.rows[position]
