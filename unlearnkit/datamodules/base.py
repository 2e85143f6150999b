"""ForgetRetainDataModule: pairs a forget and a retain stream for unlearning, or trains on one of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch.distributed
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, DistributedSampler

from unlearnkit.artifacts import Split
from unlearnkit.batches import SIDES, Side
from unlearnkit.datamodules.loader import RoundLoader
from unlearnkit.datamodules.sampler import RoundSampler, Stream
from unlearnkit.errors import ConfigurationError, MismatchError, UnknownNameError
from unlearnkit.packaged import CONFIGS

TrainOn = Literal["full", "retain", "pair"]
EpochLength = Literal["forget", "retain"] | int
Part = Literal["forget", "retain", "train"]


class ForgetRetainDataModule(LightningDataModule):
    """Feed one split to three kinds of run: the target, the retrained reference, unlearning.

    ``train_on="full"`` trains the target, ``"retain"`` the retrained reference, each on one stream of
    batches; ``"pair"`` gives each unlearning round ``{"forget": batch, "retain": batch}``. Every draw is a
    function of (seed, round, rank), and the round is the number of batches the trainer has done; so a run
    resumes at any round with the batches it would have had. To a strategy that makes whole passes over a side
    (``Alternate`` in mode ``pass``) a side's rounds of a pass deal every row of it once.

    A subclass sets ``_split`` in ``setup`` and says what ``samples`` there are and how to ``collate`` them.

    Args:
        forget_batch_size: Forget samples in a round, over all ranks.
        retain_batch_size: Retain samples in a round, over all ranks.
        train_batch_size: Samples in a batch when training on one stream.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number. A single
            stream is passed once unless this is a number.
        train_on: ``full``, ``retain`` or ``pair``.
        micro_batch_size: Hand each side of a round over as a list of micro-batches of about this many samples a
            process, so that one of them at a time is in memory; None hands over whole batches. All processes get
            the same number, so one of a larger share may hold a sample more.
        bucket: When training on one stream, sort samples by length within windows of this many batches.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: ``train_on`` or ``epoch_length`` is none of the names above.
    """

    method_options: ClassVar[tuple[str, ...]] = ("epoch_length",)
    """Options that say how a method unlearns and not what the data are: ``compare`` takes them of a method's YAML."""

    _split: Split | None = None

    def __init__(
        self,
        *,
        forget_batch_size: int = 20,
        retain_batch_size: int = 32,
        train_batch_size: int = 32,
        epoch_length: EpochLength = "forget",
        train_on: TrainOn = "pair",
        micro_batch_size: int | None = None,
        bucket: int = 0,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        numbers = {
            "forget_batch_size": forget_batch_size,
            "retain_batch_size": retain_batch_size,
            "train_batch_size": train_batch_size,
        }
        if micro_batch_size is not None:
            numbers["micro_batch_size"] = micro_batch_size
        if isinstance(epoch_length, int):
            numbers["epoch_length"] = epoch_length
        elif epoch_length not in SIDES:
            raise UnknownNameError.among("epoch_length", str(epoch_length), [*SIDES, "a number of rounds"])
        for name, value in numbers.items():
            if value < 1:
                raise ConfigurationError(
                    f"`{name}` must be 1 or above. Found {value}. Give a positive number."
                )
        for name, value in {"bucket": bucket, "num_workers": num_workers}.items():
            if value < 0:
                raise ConfigurationError(
                    f"`{name}` must be 0 or above. Found {value}. Use 0 to switch it off."
                )
        if train_on not in ("full", "retain", "pair"):
            raise UnknownNameError.among("train_on", str(train_on), ["full", "retain", "pair"])
        self.batch_sizes: dict[Part, int] = {
            "forget": forget_batch_size,
            "retain": retain_batch_size,
            "train": train_batch_size,
        }
        self.epoch_length: EpochLength = epoch_length
        self.train_on: TrainOn = train_on
        self.micro_batch_size = micro_batch_size
        self.bucket = bucket
        self.num_workers = num_workers
        self.seed = seed
        self.evaluation_names = ["forget", "retain"]
        self._samplers: dict[tuple[Part, Stream, int], RoundSampler] = {}

    # ------------------------------------------------------------------- what a subclass says

    @abstractmethod
    def samples(self, part: Part) -> Sequence[Any]:
        """Return the samples of one side, or (``train``) those that ``train_on`` full or retain passes over."""

    @abstractmethod
    def collate(self, samples: Sequence[Any]) -> Any:
        """Make one batch of some samples."""

    def lengths(self, part: Part) -> Sequence[int] | None:
        """Return the length of each sample where ``bucket`` shall sort by it."""
        return None

    def evaluation_samples(self, name: str) -> Sequence[Any]:
        """Return the samples that ``validate``, ``test`` and ``predict`` pass over under one name."""
        return self.samples("forget" if name == "forget" else "retain")

    def batches(self, side: Side) -> Iterator[Any]:
        """Go once through one side in order, ``batch_sizes["train"]`` samples at a time, on every rank."""
        yield from self._in_batches(self.samples(side))

    def _in_batches(self, samples: Sequence[Any]) -> Iterator[Any]:
        size = self.batch_sizes["train"]
        for start in range(0, len(samples), size):
            yield self.collate([samples[i] for i in range(start, min(start + size, len(samples)))])

    @property
    def target_recipe(self) -> str | None:
        """Packaged configuration that makes a target of these data, with options; None where there is none."""
        name = f"{type(self).__name__.lower()}/finetune.yaml"
        return name if (CONFIGS / name).is_file() else None

    # -------------------------------------------------------------------------------- rounds

    @property
    def split(self) -> Split:
        """Which rows are forgotten and which are kept.

        Raises:
            ConfigurationError: ``setup`` has not run yet.
        """
        if self._split is None:
            raise ConfigurationError(
                f"`split` is known after setup. Found {type(self).__name__} before it. Call .setup() first."
            )
        return self._split

    @property
    def rounds_per_epoch(self) -> int:
        """Rounds in one epoch."""
        if isinstance(self.epoch_length, int):
            return self.epoch_length
        part: Part = self.epoch_length if self.train_on == "pair" else "train"
        return math.ceil(len(self.samples(part)) / self.batch_sizes[part])

    @property
    def pass_rounds(self) -> dict[Side, int]:
        """Rounds in which each side's rows come once, where a strategy makes whole passes."""
        return {side: math.ceil(len(self.samples(side)) / self.batch_sizes[side]) for side in SIDES}

    def _turn(self, part: Part, round_: int) -> int | None:
        """Return how many batches of passes a side has had before a round; None where there are no passes."""
        module: Any = None if self.trainer is None else self.trainer.lightning_module
        turns = getattr(getattr(module, "strategy", None), "turns", None)
        found: dict[Side, int] | None = None
        if part != "train" and callable(turns):
            found = turns(round_, self.pass_rounds)
        return None if found is None or part == "train" else found[part]

    def sampler(self, part: Part, stream: Stream = "train") -> RoundSampler:
        """Return the sampler of one side (or of the single stream), bound to the trainer's counter."""
        bucket = self.bucket if part == "train" else 0
        return RoundSampler(
            len(self.samples(part)),
            self.batch_sizes[part],
            rounds=self.rounds_per_epoch,
            seed=self.seed,
            side=part,
            stream=stream,
            start_round=None if self.trainer is None else self._rounds_done,
            place=self._place,
            turn=partial(self._turn, part) if stream == "train" else None,
            lengths=self.lengths(part) if bucket else None,
            bucket=bucket,
        )

    def batch(self, round_: int) -> Any:
        """Return the batch of one round on this rank, as training gets it, without any loader."""
        if self.train_on != "pair":
            return self._draw("train", "train", round_)
        return {side: self._draw(side, "train", round_) for side in SIDES}

    def probe_batch(self, side: Side, round_: int) -> Any:
        """Return a batch of one side drawn independently of training: a function of (seed, round, rank)."""
        return self._draw(side, "probe", round_)

    def _draw(self, part: Part, stream: Stream, round_: int) -> Any:
        samples = self.samples(part)
        key = (part, stream, len(samples))
        if key not in self._samplers:  # kept, because a sampler remembers the cycle it is in
            self._samplers[key] = self.sampler(part, stream)
        return self._collate(part, [samples[i] for i in self._samplers[key].draw(round_, *self._place())])

    def _collate(self, part: Part, samples: list[Any]) -> Any:
        """Make a batch, or the micro-batches of one side: as many on every rank, sizes as equal as can be."""
        if self.micro_batch_size is None or part == "train":
            return self.collate(samples)
        least = most = self.batch_sizes[part]
        if self._turn(part, 0) is not None:
            n, rounds = len(self.samples(part)), self.pass_rounds[part]
            least, most = n // rounds, math.ceil(n / rounds)
        world = self._place()[1]
        # No rank has fewer samples than least // world, and none may get an empty micro-batch.
        number = min(math.ceil(math.ceil(most / world) / self.micro_batch_size), least // world)
        borders = [len(samples) * i // number for i in range(number + 1)]
        return [self.collate(samples[low:high]) for low, high in pairwise(borders)]

    def _rounds_done(self) -> int:
        # Batches done, not `global_step`: it counts optimizer steps, which accumulation makes fewer.
        assert self.trainer is not None
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(progress.processed)

    def _place(self) -> tuple[int, int]:
        """Return (rank, world size) among the processes that see different data."""
        if self.trainer is not None:
            found = self.trainer.distributed_sampler_kwargs or {}
            return int(found.get("rank", 0)), int(found.get("num_replicas", 1))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    # ------------------------------------------------------------------------------- loaders

    def _loader(self, part: Part) -> RoundLoader:
        collate = partial(self._collate, part)
        return RoundLoader(self.samples(part), self.sampler(part), collate, self.num_workers)

    def train_dataloader(self) -> Any:
        """Return one loader, or (``pair``) the two loaders in lock-step."""
        if self.train_on != "pair":
            return self._loader("train")
        return CombinedLoader({side: self._loader(side) for side in SIDES}, "min_size")

    def _evaluation_loader(self, samples: Any) -> DataLoader[Any]:
        rank, world = self._place()
        return DataLoader(
            samples,
            batch_size=self.batch_sizes["train"],
            # The trainer's own sampler for predictions gives ranks unequal numbers of batches, for which FSDP2 would
            # wait for ever. This one repeats rows instead, and the modules leave these out.
            sampler=DistributedSampler(samples, world, rank, shuffle=False) if world > 1 else None,
            collate_fn=self.collate,
            num_workers=self.num_workers,
        )

    def _evaluation_loaders(self) -> list[DataLoader[Any]]:
        return [
            self._evaluation_loader(list(self.evaluation_samples(name))) for name in self.evaluation_names
        ]

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader for each of ``evaluation_names``."""
        return self._evaluation_loaders()

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader for each of ``evaluation_names``."""
        return self._evaluation_loaders()

    def predict_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader for each of ``evaluation_names``."""
        return self._evaluation_loaders()

    # ---------------------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the data: the split's hash and what was trained on."""
        return {"split": self.split.hash, "train_on": self.train_on}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse a checkpoint of another split, and to go on training on other data.

        Raises:
            MismatchError: The split is not the checkpoint's, or a resumed fit trains on something else.
        """
        if self._split is None:
            self.setup("fit")
        own = self.split
        if state["split"] != own.hash:
            raise MismatchError(
                f"`data` must have the split that the checkpoint was made with ({state['split']}). Found "
                f"{own.name!r} ({own.hash}: {len(own.forget)} forget, {len(own.retain)} retain rows of "
                f"{own.source}): a split that is not the checkpoint's. Use the data, forget set, numbers of "
                "authors and seed of that run, or start without the checkpoint."
            )
        fitting = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if fitting and state["train_on"] != self.train_on:
            raise MismatchError(
                f"`train_on` must be what the resumed run trained on, {state['train_on']!r}. "
                f"Found {self.train_on!r}. Set train_on={state['train_on']!r}, or start from the exported model."
            )
