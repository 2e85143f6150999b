"""TOFU: question-answer pairs about fictitious authors, some of which are to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearnkit.artifacts import AnyPath
from unlearnkit.batches import SIDES, QARow, Side, TokenBatch
from unlearnkit.datamodules.alternatives import Alternatives, read_alternatives, refusals
from unlearnkit.datamodules.base import EpochLength, ForgetRetainDataModule, Part, TrainOn
from unlearnkit.datamodules.tofu_files import Row, load_tofu
from unlearnkit.datamodules.tofu_rows import KNOWLEDGE, RETAIN_OF, TofuRows, configurations, read_rows
from unlearnkit.datamodules.tokenization import Encoded, Encoder
from unlearnkit.datamodules.tokenizer_files import load_tokenizer, save_tokenizer, train_bpe
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Forget = Literal["forget01", "forget05", "forget10"]


class TOFU(ForgetRetainDataModule):
    """The TOFU benchmark (Maini et al. 2024), real or generated in its form.

    The retain set is the one that belongs to the forget set. The tokenizer is, in this order: the one named here,
    that of the trainer's model where the model has a name, or a byte-level BPE trained on the training texts
    (forget and retain, so that target and retrained reference share it).

    Args:
        path: Folder in the hub's layout, a name on the hub (``locuslab/TOFU``), or None for generated authors.
        forget: Which forget set: 1, 5 or 10 % of the authors.
        forget_authors: Authors of the forget set to keep, from its first on; None keeps all.
        retain_authors: Authors of the retain set to keep; None keeps all.
        holdout_authors: Authors to take off the end of the retain set, for nobody to train on: membership attacks
            compare forget rows with theirs. None takes none.
        authors: Number of generated authors.
        questions: Questions about each author; None is 20 in files, as in TOFU, and 10 for generated authors.
        data_seed: Seed of the generated authors; None takes ``seed``.
        tokenizer: Name or folder of a tokenizer; None as said above.
        vocab_size: Tokens of a tokenizer trained from scratch.
        max_length: Longest prompt + answer in tokens; the model's context where that is shorter.
        forget_batch_size: Forget pairs in a round, over all ranks.
        retain_batch_size: Retain pairs in a round, over all ranks.
        train_batch_size: Pairs in a batch when training on one stream, and when evaluating.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number.
        train_on: ``full`` (target), ``retain`` (retrained reference) or ``pair`` (unlearning).
        knowledge: Train target and reference on the real authors and world facts as well, which then stand in for
            what pretraining would have taught; unlearning never sees them. None does so when the tokenizer is
            trained from scratch.
        evaluation_rows: Retain pairs to evaluate at most; None evaluates all that have perturbed answers.
        micro_batch_size: Pairs of one side that go through the model at a time, on each process; None takes all.
        bucket: When training on one stream, sort pairs by length within windows of this many batches. It saves
            padding, but batches of short answers then weigh as much as batches of long ones; 0 does not sort.
        alternatives: Second answers to each question: ``refusals`` (on both sides), and on the forget side ``mismatch``
            (answers of retain rows) or a file of ``write_alternatives``. None gives each side what its objective asks
            for. Which one a row gets is drawn anew in each round.
        refusals: Text file with one refusal a line; None takes the packaged hundred.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        UnknownNameError: ``forget``, ``train_on`` or ``epoch_length`` is no name that exists.
        ConfigurationError: A number is out of its range.
    """

    evaluation_sets: dict[str, list[QARow]]

    def __init__(
        self,
        path: str | None = None,
        *,
        forget: Forget = "forget10",
        forget_authors: int | None = None,
        retain_authors: int | None = None,
        holdout_authors: int | None = None,
        authors: int = 40,
        questions: int | None = None,
        data_seed: int | None = None,
        tokenizer: str | None = None,
        vocab_size: int = 1000,
        max_length: int = 512,
        forget_batch_size: int = 20,
        retain_batch_size: int = 32,
        train_batch_size: int = 32,
        epoch_length: EpochLength = "forget",
        train_on: TrainOn = "pair",
        knowledge: bool | None = None,
        evaluation_rows: int | None = None,
        micro_batch_size: int | None = None,
        bucket: int = 0,
        alternatives: str | None = None,
        refusals: str | None = None,
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
        if forget not in RETAIN_OF:
            raise UnknownNameError.among("forget", str(forget), RETAIN_OF)
        numbers = {"questions": questions, "evaluation_rows": evaluation_rows, "max_length": max_length}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ConfigurationError(
                    f"`{name}` must be 1 or above. Found {value}. Give a positive number."
                )
        self.path = path
        self.forget: Forget = forget
        self.forget_authors = forget_authors
        self.retain_authors = retain_authors
        self.holdout_authors = holdout_authors
        self.authors = authors
        self.questions = questions if questions is not None else (10 if path is None else 20)
        self.data_seed = data_seed if data_seed is not None else seed
        self.tokenizer_name = tokenizer
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.knowledge = knowledge
        self.evaluation_rows = evaluation_rows
        self.alternatives = alternatives
        self.refusals = refusals
        self._data: TofuRows | None = None
        self._encoder: Encoder | None = None
        self._tokenizer_from: str | None = None
        self._second: dict[Side, Alternatives] = {}

    # -------------------------------------------------------------------------------- set-up

    def prepare_data(self) -> None:
        """Fetch everything from the hub once, in one process."""
        if self.path is not None and not Path(self.path).expanduser().is_dir():
            for name in configurations(self.forget):
                self._load(name)

    def setup(self, stage: str = "fit") -> None:
        """Read the data, find the tokenizer and tokenise; a second call only looks whether the model changed."""
        if self._data is None:
            self._data = read_rows(
                self._load,
                self.forget,
                forget_authors=self.forget_authors,
                retain_authors=self.retain_authors,
                holdout_authors=self.holdout_authors,
                questions=self.questions,
                evaluation_rows=self.evaluation_rows,
            )
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

    def _load(self, configuration: str) -> list[Row]:
        return load_tofu(
            self.path, configuration, authors=self.authors, questions=self.questions, seed=self.data_seed
        )

    def _find_tokenizer(self, source: str | None) -> PreTrainedTokenizerBase:
        if self._encoder is not None and self._tokenizer_from == source:
            return self._encoder.tokenizer
        if source is not None:
            return load_tokenizer(source)
        rows = [*self.samples("forget"), *self.samples("retain"), *self._knowledge_rows()]
        return train_bpe((f"Question: {row.question}\nAnswer: {row.answer}" for row in rows), self.vocab_size)

    # ------------------------------------------------------------------------------- samples

    def _known(self) -> tuple[TofuRows, Encoder]:
        if self._data is None or self._encoder is None:
            raise ConfigurationError(
                "`tokenizer` and rows are known after setup. Found TOFU before it. Call .setup() first."
            )
        return self._data, self._encoder

    def _knowledge_rows(self) -> list[QARow]:
        assert self._data is not None
        return [row for name in KNOWLEDGE for row in self._data.evaluation_sets[name]]

    def samples(self, part: Part) -> Sequence[QARow]:
        """Return the pairs of one side, or those of the single stream that ``train_on`` says."""
        split = self.split
        assert self._data is not None
        numbers = {"forget": split.forget, "retain": split.retain, "train": split.forget + split.retain}[part]
        if part == "train" and self.train_on == "retain":
            numbers = split.retain
        rows = [self._data.rows[number] for number in numbers]
        learn = self._tokenizer_from is None if self.knowledge is None else self.knowledge
        return rows + self._knowledge_rows() if part == "train" and learn else rows

    def unseen_batches(self) -> Iterator[TokenBatch]:
        """Yield pairs of authors that are in the data set and on neither side, as many as are to be forgotten.

        Raises:
            DataError: The two sides together are the whole data set.
        """
        data, _ = self._known()
        used = {*self.split.forget, *self.split.retain}
        rows = [data.rows[number] for number in range(self.split.rows) if number not in used]
        if not rows:
            raise DataError(
                "`unseen` data must be authors on neither side. Found none: forget and retain set are the whole data "
                f"set ({self.split.rows} pairs). Leave some out, e.g. --data.retain_authors={self._some_authors()}."
            )
        rows, size = rows[: len(self.split.forget)], self.batch_sizes["train"]
        for low in range(0, len(rows), size):
            yield self.collate(rows[low : low + size])

    def _some_authors(self) -> int:
        return max(1, len(self.split.retain) // self.questions // 2)

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
            return Alternatives(lambda row: lines, self.seed)
        if kind == "mismatch":
            answers = tuple(row.answer for row in self.samples("retain"))
            return Alternatives(lambda row: answers, self.seed)
        table = read_alternatives(kind, self.samples("forget"))
        return Alternatives(lambda row: table[row.question], self.seed)

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
        """Give a training batch its second answers, which are those of (seed, round, row)."""
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
