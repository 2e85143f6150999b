"""Preference pairs as rows: each answer once, the split by row, the sets that evaluation compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unlearnkit.artifacts import Split, content_hash
from unlearnkit.batches import QARow
from unlearnkit.datamodules.preferences_fields import PreferencePair
from unlearnkit.datamodules.preferences_split import Partition
from unlearnkit.datamodules.question_data import QuestionRows
from unlearnkit.errors import DataError


@dataclass(frozen=True)
class PreferenceRow(QARow):
    """One answer of a pair, and the pair. ``question`` is the prompt, ``answer`` the side's answer.

    Attributes:
        chosen: The pair's answer that was preferred.
        rejected: The pair's other answer.
        scores: Scores of chosen and rejected where the data have them.
        reference: Another model's answer to win against; None takes ``chosen``.
        kind: Of the prompt: ``harmful``, ``harmless``, or None where unknown.
        negative: Of the rejected answer, where the data are generated: ``toxic``, ``shared``, ``harmless`` or
            ``mislabelled``.
    """

    chosen: str = ""
    rejected: str = ""
    scores: tuple[float, float] | None = None
    reference: str | None = None
    kind: str | None = None
    negative: str | None = None

    @property
    def prompt(self) -> str:
        """The prompt."""
        return self.question


def usable_pairs(
    pairs: Sequence[PreferencePair], max_characters: int | None = None
) -> tuple[list[PreferencePair], dict[str, int]]:
    """Leave out pairs that prefer nothing, and those that are too long; return the others, and how many went why.

    Args:
        pairs: All pairs.
        max_characters: Most characters of prompt and longer answer together; None takes any.

    Raises:
        DataError: None is left.
    """
    different = [pair for pair in pairs if pair.chosen.strip() != pair.rejected.strip()]
    short = [pair for pair in different if max_characters is None or _characters(pair) <= max_characters]
    left_out = {"same answer twice": len(pairs) - len(different), "too long": len(different) - len(short)}
    if not short:
        raise DataError(
            f"`path` must give pairs of different answers within `max_characters`. Found none of {len(pairs)}: "
            f"{left_out['same answer twice']} with the same answer twice, {left_out['too long']} of more than "
            f"{max_characters} characters. Raise max_characters, or check the columns."
        )
    return short, left_out


def _characters(pair: PreferencePair) -> int:
    return len(pair.prompt) + max(len(pair.chosen), len(pair.rejected))


def content(pair: PreferencePair) -> list[str]:
    """Return what makes a pair this pair, wherever it stands."""
    return [pair.prompt, pair.chosen, pair.rejected]


def put_together(
    pairs: Sequence[PreferencePair], drawn: Partition, evaluation_rows: int | None = None
) -> QuestionRows:
    """Number the answers, 2i the chosen and 2i + 1 the rejected one of pair i, and put the partition into rows.

    Args:
        pairs: The pairs.
        drawn: Which pairs serve what.
        evaluation_rows: Rows of each evaluation set at most; None takes all.
    """
    rows: list[QARow] = []
    for number, pair in enumerate(pairs):
        rows += [_row(2 * number, pair, pair.chosen), _row(2 * number + 1, pair, pair.rejected)]
    split = Split(
        name="preferences",
        forget=tuple(2 * number + 1 for number in drawn.forget),
        retain=(
            *(2 * number for number in drawn.positives),
            *(2 * number + 1 for number in drawn.negatives),
        ),
        source=f"preference pairs {content_hash([content(pair) for pair in pairs])}",
        rows=len(rows),
    )
    sets = {
        "forget": [rows[number] for number in split.forget],
        "retain": [rows[2 * number] for number in drawn.positives],
        "test": [rows[2 * number] for number in drawn.test],
    }
    return QuestionRows(rows, split, {name: found[:evaluation_rows] for name, found in sets.items()})


def _row(index: int, pair: PreferencePair, answer: str) -> PreferenceRow:
    return PreferenceRow(
        index=index,
        question=pair.prompt,
        answer=answer,
        chosen=pair.chosen,
        rejected=pair.rejected,
        scores=pair.scores,
        kind=pair.kind,
        negative=pair.negative,
    )
