"""Preferences: answers that people preferred or rejected, some of the rejected ones to be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from unlearnkit.artifacts import AnyPath, content_hash
from unlearnkit.batches import QARow, Side, TokenBatch
from unlearnkit.datamodules.alternatives import Alternatives
from unlearnkit.datamodules.base import EpochLength, Part, TrainOn
from unlearnkit.datamodules.preferences_fields import Form, Prefer, PreferencePair, generated_pairs
from unlearnkit.datamodules.preferences_files import load_preferences
from unlearnkit.datamodules.preferences_rows import PreferenceRow, content, put_together, usable_pairs
from unlearnkit.datamodules.preferences_split import PairPart, Partition, partition, write_manifest
from unlearnkit.datamodules.question_data import QuestionData, QuestionRows, require_positive
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError

ForgetSide = Literal["forget", "pairs"]
"""Whose rejected answers the forget side has: those to be forgotten, or those of the preference pairs."""

RetainSide = Literal["positives", "retain", "guidance"]
"""What the retain side has: positives, what the retrained reference learns (positives and negatives), or guidance."""


class Preferences(QuestionData):
    """Preference pairs for alignment by unlearning (paper 004), generated or of the public data sets.

    The partition is the paper's (``partition`` says how it is drawn, and ``save_manifest`` writes it): test prompts,
    preference pairs, positives, negatives of which some are to be forgotten. The target learns positives and negatives,
    the retrained reference all but those to be forgotten. Unlearning pairs prompts with rejected answers (forget)
    with positives (retain); where an objective asks for second answers, the ``alternative`` of a rejected answer is the
    chosen one to its prompt, so DPO works as it stands. Row 2i is pair i's chosen answer, row 2i + 1 its rejected one.

    PKU-SafeRLHF is CC-BY-NC-4.0. Which of its labels paper 004 takes, and how it filters pairs, is not known:
    ``prefer`` has both labels. Test prompts are cut off the pairs read; the paper seems to test UltraFeedback on that
    data set's own ``test_prefs``, which ``load_preferences(split="test_prefs")`` reads.

    Args:
        path: Folder or file with the columns of SafeRLHF, UltraFeedback binarized or HaluEval, or with ``prompt``,
            ``chosen``, ``rejected``; a name on the hub; or None for generated pairs.
        form: ``safe_rlhf``, ``ultrafeedback``, ``halueval`` or ``pairs``; None tells it from the columns.
        configuration: HaluEval's ``qa``, ``dialogue`` or ``summarization``; a configuration on the hub.
        prefer: Which of SafeRLHF's labels says what is rejected, ``safer`` or ``better``.
        pairs: Number of generated pairs.
        prompts: Number of generated prompts.
        mislabel_rate: Share of generated pairs whose rejected answer is the ideal one.
        data_seed: Seed of the generated pairs and of the partition; None takes ``seed``.
        max_pairs: Pairs to take at most, from the first on; None takes all.
        max_characters: Leave out pairs with more characters in prompt and longer answer; the manifest counts them.
        negative_ratio: Share of the pool that is negative; the paper has .65 for SafeRLHF, .7 for UltraFeedback.
        forget_ratio: Share of the negatives to forget; the paper has .65 for SafeRLHF, .8 for UltraFeedback.
        pair_ratio: Share kept as preference pairs.
        test_prompts: Prompts to test on; None takes 2000, or a seventh of fewer than 14000.
        forget_side: Whether unlearning gets the negatives to ``forget`` or the preference ``pairs``, for DPO and RLOO.
        retain_side: ``positives``, ``retain`` (the remaining negatives too) or ``guidance`` alone.
        by_reward: Whether the forget side leaves out rejected answers of no lower true reward than the chosen ones:
            what a rival that sees the reward, as U2A does, would take. For generated pairs only.
        by_kind: Whether the forget side has harmful prompts alone and the retain side the others: safety and utility
            data apart, as in paper 002's safety alignment. Only where the pairs say what kind a prompt is.
        positive_guidance: Share of the preference pairs whose chosen answers join the retain side (paper 004, table
            10: 0 to .6), from the first of a hash's order on.
        tokenizer: Name or folder of a tokenizer; None takes the model's where it has a name, else trains one.
        vocab_size: Tokens of a tokenizer trained from scratch.
        max_length: Longest prompt + answer in tokens; the model's context where that is shorter.
        forget_batch_size: Forget rows in a round, over all ranks.
        retain_batch_size: Retain rows in a round, over all ranks.
        train_batch_size: Rows in a batch when training on one stream, and when evaluating.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number.
        train_on: ``full`` (target), ``retain`` (retrained reference) or ``pair`` (unlearning).
        evaluation_rows: Rows of each evaluation set at most; None takes all.
        micro_batch_size: Rows of one side that go through the model at a time, on each process; None takes all.
        bucket: When training on one stream, sort rows by length within windows of this many batches; 0 does not.
        alternatives: Second answers: ``chosen`` always, ``refusals``, ``mismatch`` or a file, as ``TOFU`` says; None
            gives the chosen answer where an objective asks for any.
        refusals: Text file with one refusal a line; None takes the packaged hundred.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: A name is none that exists.

    >>> data = Preferences(pairs=60, prompts=30, vocab_size=400)
    >>> data.setup()
    >>> {part: len(data.pairs_of(part)) for part in ("test", "pairs", "positives", "forget", "negatives")}
    {'test': 8, 'pairs': 10, 'positives': 14, 'forget': 18, 'negatives': 10}
    """

    benchmark = "preferences"
    """What evaluations of it are called."""

    method_options = (
        "epoch_length",
        "forget_side",
        "retain_side",
        "positive_guidance",
        "by_reward",
    )

    def __init__(
        self,
        path: str | None = None,
        *,
        form: Form | None = None,
        configuration: str | None = None,
        prefer: Prefer = "safer",
        pairs: int = 480,
        prompts: int = 120,
        mislabel_rate: float = 0.0,
        data_seed: int | None = None,
        max_pairs: int | None = None,
        max_characters: int | None = None,
        negative_ratio: float = 0.65,
        forget_ratio: float = 0.65,
        pair_ratio: float = 0.2,
        test_prompts: int | None = None,
        forget_side: ForgetSide = "forget",
        retain_side: RetainSide = "positives",
        by_reward: bool = False,
        by_kind: bool = False,
        positive_guidance: float = 0.0,
        tokenizer: str | None = None,
        vocab_size: int = 600,
        max_length: int = 512,
        forget_batch_size: int = 20,
        retain_batch_size: int = 32,
        train_batch_size: int = 32,
        epoch_length: EpochLength = "forget",
        train_on: TrainOn = "pair",
        evaluation_rows: int | None = None,
        micro_batch_size: int | None = None,
        bucket: int = 0,
        alternatives: str | None = None,
        refusals: str | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            max_length=max_length,
            alternatives=alternatives,
            alternatives_per="row",
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
        for name, value, known in (
            ("forget_side", forget_side, get_args(ForgetSide)),
            ("retain_side", retain_side, get_args(RetainSide)),
        ):
            if value not in known:
                raise UnknownNameError.among(name, str(value), known)
        if not 0.0 <= positive_guidance <= 1.0:
            raise ConfigurationError(
                f"`positive_guidance` must be a share from 0 to 1. Found {positive_guidance}. Paper 004 has 0, 0.2, "
                "0.4 and 0.6."
            )
        if retain_side == "guidance" and positive_guidance == 0.0:
            raise ConfigurationError(
                "`positive_guidance` must be above 0 where guidance is all that the retain side has. Found 0.0. Set "
                "positive_guidance=0.2, or retain_side=positives."
            )
        if by_reward and path is not None:
            raise ConfigurationError(
                f"`by_reward` must come with generated pairs, whose true reward is known. Found path={path!r}. Leave "
                "it out, or filter the file by a reward of your own."
            )
        require_positive(max_pairs=max_pairs, max_characters=max_characters, evaluation_rows=evaluation_rows)
        self.path = path
        self.form: Form | None = form
        self.configuration = configuration
        self.prefer: Prefer = prefer
        self.pairs = pairs
        self.prompts = prompts
        self.mislabel_rate = mislabel_rate
        self.data_seed = data_seed if data_seed is not None else seed
        self.max_pairs = max_pairs
        self.max_characters = max_characters
        self.negative_ratio = negative_ratio
        self.forget_ratio = forget_ratio
        self.pair_ratio = pair_ratio
        self.test_prompts = test_prompts
        self.forget_side: ForgetSide = forget_side
        self.retain_side: RetainSide = retain_side
        self.by_reward = by_reward
        self.by_kind = by_kind
        self.positive_guidance = positive_guidance
        self.evaluation_rows = evaluation_rows
        self._pairs: list[PreferencePair] = []
        self._partition: Partition | None = None
        self._left_out: dict[str, int] = {}

    # -------------------------------------------------------------------------------- set-up

    def prepare_data(self) -> None:
        """Fetch everything from the hub once, in one process."""
        if self.path is not None and not Path(self.path).expanduser().exists():
            self._read_pairs()

    def read(self) -> QuestionRows:
        """Read the pairs and draw the partition.

        Raises:
            DataNotFoundError: The data are not there.
            DataError: A row lacks a field, or no pair is left.
            ConfigurationError: A part of the partition would be empty.
        """
        self._pairs, self._left_out = usable_pairs(self._read_pairs()[: self.max_pairs], self.max_characters)
        drawn = partition(
            [pair.prompt for pair in self._pairs],
            negative_ratio=self.negative_ratio,
            forget_ratio=self.forget_ratio,
            pair_ratio=self.pair_ratio,
            test_prompts=self.test_prompts,
            seed=self.data_seed,
        )
        self._partition = drawn
        return put_together(self._pairs, drawn, self.evaluation_rows)

    def _read_pairs(self) -> list[PreferencePair]:
        if self.path is None:
            from unlearnkit.synthetic.preferences import fictitious_preferences

            made = fictitious_preferences(self.pairs, self.prompts, self.mislabel_rate, self.data_seed)
            return generated_pairs(made)
        return load_preferences(
            self.path, form=self.form, configuration=self.configuration, prefer=self.prefer
        )

    # ------------------------------------------------------------------------------- samples

    def samples(self, part: Part) -> Sequence[QARow]:
        """Return the rows of one side, or those of the single stream that ``train_on`` says."""
        if part == "train":
            return super().samples(part)
        split, rows, drawn = self.split, self._known_rows(), self.partition
        if part == "forget":
            chosen = (
                [2 * number + 1 for number in drawn.pairs] if self.forget_side == "pairs" else split.forget
            )
            found = [rows[number] for number in chosen if not self.by_reward or self._truly_rejected(number)]
            return self._of_kind(found, harmful=True)
        kept = {
            "positives": [2 * number for number in drawn.positives],
            "retain": list(split.retain),
            "guidance": [],
        }[self.retain_side]
        found = [rows[number] for number in kept + [2 * number for number in self._guides()]]
        return self._of_kind(found, harmful=False)

    def _of_kind(self, rows: list[QARow], harmful: bool) -> list[QARow]:
        if not self.by_kind:
            return rows
        found = [row for row in rows if (self._preference_row(row.index).kind == "harmful") == harmful]
        if not found:
            raise DataError(
                f"`by_kind` must come with {'harmful' if harmful else 'harmless'} prompts on the "
                f"{'forget' if harmful else 'retain'} side. Found none of {len(rows)}. Leave it out, or give each row "
                "a kind, harmful or harmless."
            )
        return found

    def _truly_rejected(self, number: int) -> bool:
        """Say whether a rejected answer has the lower true reward of its pair."""
        row = self._preference_row(number)
        assert self.reward is not None
        chosen, rejected = self.reward([row.prompt] * 2, [row.chosen, row.rejected])
        return rejected < chosen

    def _guides(self) -> list[int]:
        """Return the preference pairs whose chosen answers guide: more of them hold those of fewer."""
        order = sorted(
            self.partition.pairs,
            key=lambda number: content_hash([self.data_seed, content(self._pairs[number])]),
        )
        return sorted(order[: round(self.positive_guidance * len(order))])

    def _known_rows(self) -> list[QARow]:
        assert self._data is not None
        return self._data.rows

    def _vocabulary(self) -> Sequence[QARow]:
        # What target and reference learn, and the preference pairs, whichever sides unlearning gets.
        rows = self._known_rows()
        both = [2 * number + side for number in self.partition.pairs for side in (0, 1)]
        return [rows[number] for number in (*self.split.forget, *self.split.retain, *both)]

    @property
    def partition(self) -> Partition:
        """Which pairs serve what, by their numbers.

        Raises:
            ConfigurationError: ``setup`` has not run yet.
        """
        if self._partition is None:
            raise ConfigurationError(
                "`partition` is known after setup. Found Preferences before it. Call .setup() first."
            )
        return self._partition

    def pairs_of(self, part: PairPart) -> list[PreferenceRow]:
        """Return the rejected answers of a part of the partition, each with its pair.

        Raises:
            UnknownNameError: There is no such part.
        """
        parts = self.partition.parts()
        if part not in parts:
            raise UnknownNameError.among("part", str(part), parts)
        return [self._preference_row(2 * number + 1) for number in parts[part]]

    def _preference_row(self, number: int) -> PreferenceRow:
        row = self._known_rows()[number]
        assert isinstance(row, PreferenceRow)
        return row

    def pair_batches(self, part: PairPart = "pairs") -> Iterator[TokenBatch]:
        """Go once through a part's pairs in order: rejected answers, with the chosen ones as ``alternative``.

        A margin J, a reward model or candidates take these; each call yields the same batches again.

        Args:
            part: ``pairs``, or another part of the partition.
        """
        rows, size = self.pairs_of(part), self.batch_sizes["train"]
        second = self._alternatives("chosen")
        for low in range(0, len(rows), size):
            some = rows[low : low + size]
            batch = self.collate(some)
            batch["alternative"] = second.collate(some, 0, self._known()[1], self._pad_id)
            yield batch

    def prompt_ids(self, part: PairPart = "pairs") -> dict[tuple[int, ...], str]:
        """Return the different prompts of a part as token ids, with their texts.

        What ``alignment.PolicyGradientJ`` responds to, and ``alignment.TextReward`` recognises.
        """
        prompts = dict.fromkeys(row.prompt for row in self.pairs_of(part))
        return {tuple(self.encode(prompt)[0]): prompt for prompt in prompts}

    @property
    def reward(self) -> Callable[[Sequence[str], Sequence[str]], list[float]] | None:
        """The true reward of responses to prompts where the pairs are generated, else None."""
        if self.path is not None:
            return None
        from unlearnkit.synthetic.preference_world import PreferenceWorld

        return PreferenceWorld(self.data_seed).reward

    def unseen_batches(self) -> Iterator[TokenBatch]:
        """Yield rejected answers to test prompts, which nobody learns, as many as are to be forgotten at most."""
        rows = self.pairs_of("test")[: len(self.split.forget)]
        yield from self._in_batches(rows)

    # ------------------------------------------------------------------------- second answers

    def _wanted(self) -> dict[Side, str]:
        wanted = super()._wanted()
        if self.alternatives is None and "forget" in wanted:
            wanted["forget"] = "chosen"
        return wanted

    def _alternatives(self, kind: str) -> Alternatives:
        if kind != "chosen":
            return super()._alternatives(kind)
        return Alternatives(lambda row: (self._preference_row(row.index).chosen,), self.seed, "row")

    # ------------------------------------------------------------------------------- manifest

    def save_manifest(self, path: AnyPath) -> None:
        """Write which row of the data set is in which part, as JSON, whole or not at all."""
        write_manifest(
            path,
            self.partition,
            [pair.id for pair in self._pairs],
            self.split.source,
            {
                "negative_ratio": self.negative_ratio,
                "forget_ratio": self.forget_ratio,
                "pair_ratio": self.pair_ratio,
                "test_prompts": self.test_prompts,
                "seed": self.data_seed,
            },
            self._left_out,
        )
