"""TOFU: question-answer pairs about fictitious authors, some of which are to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from unlearnkit.batches import TokenBatch
from unlearnkit.datamodules.alternatives import Per
from unlearnkit.datamodules.base import EpochLength, TrainOn
from unlearnkit.datamodules.question_data import QuestionData, QuestionRows, require_positive
from unlearnkit.datamodules.tofu_files import Row, load_tofu
from unlearnkit.datamodules.tofu_rows import RETAIN_OF, configurations, read_rows
from unlearnkit.errors import DataError, UnknownNameError

Forget = Literal["forget01", "forget05", "forget10"]


class TOFU(QuestionData):
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
        requests: Authors of the forget set to forget one request after the other, by their numbers in it from 1 on:
            ``["19-20", "11-18", "1-10"]`` is TOFU's forget01, then what forget05 and forget10 add. Authors of no
            request, and of later ones, are to be kept. None forgets all at once.
        request: Number of the request to forget now, from 1 on. The target knows everybody, the retrained reference
            nobody who was asked for up to now, whom evaluation has as its forget set.
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
            for.
        alternatives_per: Whether a row gets another of its second answers in each ``round``, as in TOFU's code, or per
            ``row`` the same one always, as in closer-look's and DualOptim's.
        refusals: Text file with one refusal a line; None takes the packaged hundred.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        UnknownNameError: ``forget``, ``train_on``, ``epoch_length`` or ``alternatives_per`` is no name that exists.
        ConfigurationError: A number is out of its range.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        forget: Forget = "forget10",
        forget_authors: int | None = None,
        retain_authors: int | None = None,
        holdout_authors: int | None = None,
        requests: list[int | str] | None = None,
        request: int = 1,
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
        alternatives_per: Per = "round",
        refusals: str | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            max_length=max_length,
            knowledge=knowledge,
            alternatives=alternatives,
            alternatives_per=alternatives_per,
            refusals=refusals,
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
        require_positive(questions=questions, evaluation_rows=evaluation_rows)
        self.path = path
        self.forget: Forget = forget
        self.forget_authors = forget_authors
        self.retain_authors = retain_authors
        self.holdout_authors = holdout_authors
        self.requests = None if requests is None else tuple(str(authors) for authors in requests)
        self.request = request
        self.authors = authors
        self.questions = questions if questions is not None else (10 if path is None else 20)
        self.data_seed = data_seed if data_seed is not None else seed
        self.evaluation_rows = evaluation_rows

    # -------------------------------------------------------------------------------- set-up

    def prepare_data(self) -> None:
        """Fetch everything from the hub once, in one process."""
        if self.path is not None and not Path(self.path).expanduser().is_dir():
            for name in configurations(self.forget):
                self._load(name)

    def read(self) -> QuestionRows:
        """Read the configurations and put them together."""
        return read_rows(
            self._load,
            self.forget,
            forget_authors=self.forget_authors,
            retain_authors=self.retain_authors,
            holdout_authors=self.holdout_authors,
            requests=self.requests,
            request=self.request,
            questions=self.questions,
            evaluation_rows=self.evaluation_rows,
        )

    def _load(self, configuration: str) -> list[Row]:
        return load_tofu(
            self.path, configuration, authors=self.authors, questions=self.questions, seed=self.data_seed
        )

    def unseen_batches(self) -> Iterator[TokenBatch]:
        """Yield pairs of authors that nobody trained on, as many as are to be forgotten.

        Raises:
            DataError: The two sides, and earlier requests, together are the whole data set.
        """
        data, _ = self._known()
        used = {*self.split.forget, *self.split.retain, *data.earlier}
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
