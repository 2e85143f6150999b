"""People: questions about people whom a model knows, some of whom are to be forgotten."""

from __future__ import annotations

from dataclasses import replace

from unlearnkit.artifacts import Split, content_hash
from unlearnkit.datamodules.alternatives import Per
from unlearnkit.datamodules.base import EpochLength, TrainOn
from unlearnkit.datamodules.people_files import Row, Side, divide_neighbours, load_people
from unlearnkit.datamodules.question_data import QuestionData, QuestionRows
from unlearnkit.datamodules.tofu_rows import qa_row
from unlearnkit.errors import DataError


class People(QuestionData):
    """Paper 002's real data (Llama 3): 20 people to forget and 40 neighbours, of whom 20 are kept and 20 tested.

    A folder holds ``forget.json`` and ``neighbor.json`` with one question a line (``load_people`` names the columns);
    the package holds no real names, and generates people who do not exist where no folder is given. Closer-look's
    repository (Yuan et al. 2024), whose folder is read as it is, has 20 neighbours, whom its code keeps and tests
    alike; paper 002 takes 40 and tests on those whom unlearning never sees, as here.

    Evaluation sets: ``forget``, and under the name ``retain`` the neighbours to test, of whom paper 002's MU is made:
    its six parts, by ``TOFUEvaluator(closer_look=True)``. A model from scratch, target or retrained reference, learns
    them too, in place of pretraining; a pretrained one is itself the target, paper 002's row ``Initial``.

    Args:
        path: The folder, or None for generated people.
        test_people: Neighbours who are for testing alone, drawn by a hash of their names; None takes half.
        people: Number of generated people to forget.
        neighbours: Number of generated neighbours.
        questions: Questions about each generated person, at most 20.
        data_seed: Seed of the generated people and of who is tested; None takes ``seed``.
        tokenizer: Name or folder of a tokenizer; None takes the model's where it has a name, else trains one.
        vocab_size: Tokens of a tokenizer trained from scratch.
        max_length: Longest prompt + answer in tokens; the model's context where that is shorter. Closer-look has 300.
        forget_batch_size: Forget pairs in a round, over all ranks.
        retain_batch_size: Retain pairs in a round, over all ranks.
        train_batch_size: Pairs in a batch when training on one stream, and when evaluating.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number.
        train_on: ``full`` (target), ``retain`` (retrained reference) or ``pair`` (unlearning).
        knowledge: Train target and reference on the neighbours to test as well; None does so when the tokenizer is
            trained from scratch.
        micro_batch_size: Pairs of one side that go through the model at a time, on each process; None takes all.
        bucket: When training on one stream, sort pairs by length within windows of this many batches; 0 does not sort.
        alternatives: Second answers to each question, as in ``TOFU``.
        alternatives_per: Whether a row gets another one in each ``round``, or per ``row`` the same one always, as in
            paper 002's code.
        refusals: Text file with one refusal a line; None takes the packaged hundred.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: ``train_on`` or ``epoch_length`` is no name that exists.

    >>> data = People(people=2, neighbours=4, questions=3, vocab_size=400)
    >>> data.setup()
    >>> len(data.split.forget), len(data.split.retain), len(data.evaluation_sets["retain"])
    (6, 6, 6)
    """

    benchmark = "people"
    """What evaluations of it are called: its ``retain`` set is not TOFU's."""

    def __init__(
        self,
        path: str | None = None,
        *,
        test_people: int | None = None,
        people: int = 20,
        neighbours: int = 40,
        questions: int = 20,
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
        micro_batch_size: int | None = None,
        bucket: int = 0,
        alternatives: str | None = None,
        alternatives_per: Per = "row",
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
        self.path = path
        self.test_people = test_people
        self.people = people
        self.neighbours = neighbours
        self.questions = questions
        self.data_seed = data_seed if data_seed is not None else seed

    def read(self) -> QuestionRows:
        """Read both files, and draw which neighbours are kept.

        Raises:
            DataNotFoundError: A file is not there.
            DataError: A row lacks a column, or somebody is in both files.
            ConfigurationError: No neighbour would be left on one side.
        """
        forget, others = self._load("forget"), self._load("neighbor")
        shared = {row["name"] for row in forget} & {row["name"] for row in others}
        if shared:
            raise DataError(
                f"`path` must have nobody in both forget.json and neighbor.json. Found {len(shared)} who are, e.g. "
                f"{min(shared)!r}. Take their rows out of one file."
            )
        tested = divide_neighbours([row["name"] for row in others], self.test_people, self.data_seed)
        # Rows to test come last: they are on neither side.
        kept = [row for row in others if row["name"] not in tested]
        unseen = [row for row in others if row["name"] in tested]
        rows = [qa_row(number, row) for number, row in enumerate([*forget, *kept, *unseen])]
        first, last = len(forget), len(forget) + len(kept)
        split = Split(
            name="people",
            forget=tuple(range(first)),
            retain=tuple(range(first, last)),
            source=f"rows about people {content_hash([forget, kept, unseen])}",
            rows=len(rows),
        )
        golden = [
            replace(row, answer=made.get("golden_answer", row.answer))
            for row, made in zip(rows, [*forget, *kept, *unseen], strict=True)
        ]
        sets = {"forget": golden[:first], "retain": golden[last:]}
        return QuestionRows(rows, split, sets, knowledge=rows[last:])

    def _load(self, side: Side) -> list[Row]:
        return load_people(
            self.path,
            side,
            people=self.people,
            neighbours=self.neighbours,
            questions=self.questions,
            seed=self.data_seed,
        )
