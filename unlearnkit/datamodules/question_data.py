"""QuestionData: questions and answers to forget and to keep, tokenised, with second answers where objectives ask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from unlearnkit.artifacts import AnyPath, Split
from unlearnkit.batches import SIDES, QARow, Side, TokenBatch
from unlearnkit.datamodules.alternatives import Alternatives, Per, read_alternatives, refusals, require_per
from unlearnkit.datamodules.base import EpochLength, ForgetRetainDataModule, Part, TrainOn
from unlearnkit.datamodules.tokenization import Encoded, Encoder
from unlearnkit.datamodules.tokenizer_files import load_tokenizer, save_tokenizer, train_bpe
from unlearnkit.errors import ConfigurationError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class QuestionRows:
    """All rows, the split, and what evaluation compares.

    Attributes:
        rows: Every row once; a row's place is its index.
        split: Rows to forget now, and rows to keep.
        evaluation_sets: Rows by the name of their set, ``forget`` and ``retain`` among them.
        knowledge: Rows on neither side that a model from scratch learns, for want of pretraining.
        requested: Row numbers of the requests up to this one, which ``split.forget`` is; empty without requests.
    """

    rows: list[QARow]
    split: Split
    evaluation_sets: dict[str, list[QARow]]
    knowledge: list[QARow] = field(default_factory=list)
    requested: tuple[tuple[int, ...], ...] = ()

    @property
    def earlier(self) -> tuple[int, ...]:
        """Rows of earlier requests, which are on neither side: the target knows them, the reference does not."""
        return tuple(chain.from_iterable(self.requested[:-1]))


class QuestionData(ForgetRetainDataModule):
    """Pair questions to forget with questions to keep; a subclass says where they come from.

    The tokenizer is, in this order: the one named here, that of the trainer's model where the model has a name, or a
    byte-level BPE trained on the training texts (forget and retain, so that target and retrained reference share it).

    Args:
        tokenizer: Name or folder of a tokenizer; None as said above.
        vocab_size: Tokens of a tokenizer trained from scratch.
        max_length: Longest prompt + answer in tokens; the model's context where that is shorter.
        knowledge: Train target and reference on the rows on neither side as well; None does so when the tokenizer is
            trained from scratch.
        alternatives: Second answers to each question, as ``TOFU`` says.
        alternatives_per: Whether a row gets another one in each ``round``, or per ``row`` the same one always.
        refusals: Text file with one refusal a line; None takes the packaged hundred.
        forget_batch_size: Forget pairs in a round, over all ranks.
        retain_batch_size: Retain pairs in a round, over all ranks.
        train_batch_size: Pairs in a batch when training on one stream, and when evaluating.
        epoch_length: Rounds in an epoch.
        train_on: ``full``, ``retain`` or ``pair``.
        micro_batch_size: Pairs of one side that go through the model at a time, on each process; None takes all.
        bucket: When training on one stream, sort pairs by length within windows of this many batches.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: ``train_on``, ``epoch_length`` or ``alternatives_per`` is no name that exists.
    """

    evaluation_sets: dict[str, list[QARow]]

    def __init__(
        self,
        *,
        tokenizer: str | None = None,
        vocab_size: int = 1000,
        max_length: int = 512,
        knowledge: bool | None = None,
        alternatives: str | None = None,
        alternatives_per: Per = "round",
        refusals: str | None = None,
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
        super().__init__(
            forget_batch_size=forget_batch_size,
            retain_batch_size=retain_batch_size,
            train_batch_size=train_batch_size,
            epoch_length=epoch_length,
            train_on=train_on,
            micro_batch_size=micro_batch_size,
            bucket=bucket,
            num_workers=num_workers,
            seed=seed,
        )
        require_positive(max_length=max_length)
        self.tokenizer_name = tokenizer
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.knowledge = knowledge
        self.alternatives = alternatives
        self.alternatives_per = require_per("alternatives_per", alternatives_per)
        self.refusals = refusals
        self._data: QuestionRows | None = None
        self._encoder: Encoder | None = None
        self._tokenizer_from: str | None = None
        self._second: dict[Side, Alternatives] = {}

    @abstractmethod
    def read(self) -> QuestionRows:
        """Read the rows and put them together; called once, in ``setup``."""

    # -------------------------------------------------------------------------------- set-up

    def setup(self, stage: str = "fit") -> None:
        """Read the data, find the tokenizer and tokenise; a second call only looks whether the model changed."""
        if self._data is None:
            self._data = self.read()
            self._split = self._data.split
            self.evaluation_sets = self._data.evaluation_sets
        model: Any = getattr(getattr(self.trainer, "lightning_module", None), "model", None)
        source = self.tokenizer_name or getattr(model, "name", None)
        limit = min(self.max_length, getattr(model, "context_length", self.max_length))
        if self._encoder is None or self._tokenizer_from != source or self._encoder.max_length != limit:
            self._encoder = Encoder(self._find_tokenizer(source), limit)
            self._tokenizer_from = source
            parts: tuple[Part, ...] = ("train",) if self.train_on != "pair" else ("forget", "retain")
            for part in parts:
                self._encoder.prime(self.samples(part))
        if self.train_on == "pair":
            self._second = {side: self._alternatives(kind) for side, kind in self._wanted().items()}
            for side, second in self._second.items():
                second.require_room(self.samples(side), self._encoder)

    def _find_tokenizer(self, source: str | None) -> PreTrainedTokenizerBase:
        if self._encoder is not None and self._tokenizer_from == source:
            return self._encoder.tokenizer
        if source is not None:
            return load_tokenizer(source)
        rows = self._vocabulary()
        return train_bpe((f"Question: {row.question}\nAnswer: {row.answer}" for row in rows), self.vocab_size)

    def _vocabulary(self) -> Sequence[QARow]:
        """Return what a tokenizer from scratch is trained on: the same rows whatever ``train_on`` says."""
        assert self._data is not None
        earlier = [self._data.rows[number] for number in self._data.earlier]
        return [*self.samples("forget"), *self.samples("retain"), *self._data.knowledge, *earlier]

    # ------------------------------------------------------------------------------- samples

    def _known(self) -> tuple[QuestionRows, Encoder]:
        if self._data is None or self._encoder is None:
            raise ConfigurationError(
                f"`tokenizer` and rows are known after setup. Found {type(self).__name__} before it. Call .setup() "
                "first."
            )
        return self._data, self._encoder

    def samples(self, part: Part) -> Sequence[QARow]:
        """Return the pairs of one side, or those of the single stream that ``train_on`` says."""
        split = self.split
        assert self._data is not None
        numbers = split.forget if part == "forget" else split.retain
        if part == "train" and self.train_on == "full":
            numbers = split.forget + self._data.earlier + split.retain
        rows = [self._data.rows[number] for number in numbers]
        learn = self._tokenizer_from is None if self.knowledge is None else self.knowledge
        return rows + self._data.knowledge if part == "train" and learn else rows

    def refusal_texts(self) -> tuple[str, ...]:
        """Return the answers that refuse.

        Raises:
            DataNotFoundError: The list of refusals is not there.
            DataError: It holds none.
        """
        return refusals(self.refusals)

    def evaluation_samples(self, name: str) -> Sequence[QARow]:
        """Return the pairs of one evaluation set."""
        return self.evaluation_sets[name]

    def lengths(self, part: Part) -> list[int]:
        """Return the tokens of each pair."""
        _, encoder = self._known()
        rows = self.samples(part)
        encoder.prime(rows)
        return [sum(map(len, encoder(row.question, row.answer, row.index))) for row in rows]

    @property
    def requested(self) -> tuple[tuple[int, ...], ...]:
        """Row numbers of each request up to this one; empty where there are no requests."""
        return self._known()[0].requested

    # ------------------------------------------------------------------------- second answers

    def _wanted(self) -> dict[Side, str]:
        """Return by side which second answers are wanted, here or by the module's objectives."""
        objectives: Any = getattr(getattr(self.trainer, "lightning_module", None), "objectives", None) or {}
        asked = {side: getattr(objectives[side], "answers", None) for side in SIDES if side in objectives}
        wanted: dict[Side, str] = {side: kind for side, kind in asked.items() if kind is not None}
        if self.alternatives == "refusals":
            return dict.fromkeys(SIDES, "refusals")
        return wanted if self.alternatives is None else wanted | {"forget": self.alternatives}

    def _alternatives(self, kind: str) -> Alternatives:
        if kind == "refusals":
            lines = refusals(self.refusals)
            return Alternatives(lambda row: lines, self.seed, self.alternatives_per)
        if kind == "mismatch":
            answers = tuple(row.answer for row in self.samples("retain"))
            return Alternatives(lambda row: answers, self.seed, self.alternatives_per)
        table = read_alternatives(kind, self.samples("forget"))
        return Alternatives(lambda row: table[row.question], self.seed, self.alternatives_per)

    def _answered(self, side: Side, batch: Any, round_: int) -> Any:
        """Return a side's batch, or list of micro-batches, with its second answers of a round, where it has any."""
        if side not in self._second:
            return batch
        if isinstance(batch, list):
            return [self._answered(side, part, round_) for part in batch]
        data, encoder = self._known()
        rows = [data.rows[number] for number in batch["index"].tolist()]
        return batch | {"alternative": self._second[side].collate(rows, round_, encoder, self._pad_id)}

    def batch(self, round_: int) -> Any:
        """Return the batch of one round on this rank, as training gets it, without any loader."""
        return self._with_answers(super().batch(round_), round_)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Give a training batch its second answers: those of (seed, row), and of the round where each has its own."""
        training = self.trainer is not None and self.trainer.training
        return self._with_answers(batch, self._rounds_done()) if training else batch

    def _with_answers(self, batch: Any, round_: int) -> Any:
        if self.train_on != "pair":
            return batch
        return {side: self._answered(side, batch[side], round_) for side in SIDES}

    def probe_batch(self, side: Side, round_: int) -> Any:
        """Return a batch of one side drawn independently of training: a function of (seed, round, rank)."""
        return self._answered(side, super().probe_batch(side, round_), round_)

    def batches(self, side: Side) -> Iterator[Any]:
        """Go once through one side in order, with the second answers of round 0."""
        for batch in super().batches(side):
            yield self._answered(side, batch, 0)

    # -------------------------------------------------------------------------------- tokens

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, known after ``setup``."""
        return self._known()[1].tokenizer

    @property
    def traits(self) -> PreTrainedTokenizerBase:
        """What a model from scratch is built for: the tokenizer, known after ``setup``."""
        return self.tokenizer

    def save_tokenizer(self, folder: AnyPath) -> None:
        """Write the tokenizer as a ``from_pretrained`` folder."""
        save_tokenizer(self.tokenizer, folder)

    def encode(self, question: str, answer: str | None = None) -> Encoded:
        """Return (prompt ids, answer ids with EOS), tokenised apart; without an answer the second is empty.

        Raises:
            DataError: The answer has no tokens, or the sequence is too long.
        """
        return self._known()[1](question, answer)

    def collate(self, samples: Sequence[QARow]) -> TokenBatch:
        """Make one right-padded batch of some pairs."""
        return self._known()[1].collate(samples, self._pad_id)

    @property
    def _pad_id(self) -> int:
        pad: Any = self.tokenizer.pad_token_id
        return int(pad)


def require_positive(**numbers: int | None) -> None:
    """Refuse numbers below 1; None stands for unset.

    Raises:
        ConfigurationError: One is.
    """
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ConfigurationError(f"`{name}` must be 1 or above. Found {value}. Give a positive number.")
