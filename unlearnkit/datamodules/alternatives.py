"""Second answers to the same questions: refusals, other questions' answers, or those of a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

import torch

from unlearnkit.batches import QARow, TokenBatch
from unlearnkit.datamodules.tokenization import Encoder
from unlearnkit.errors import DataError, DataNotFoundError, UnknownNameError

REFUSALS = Path(__file__).with_name("refusals.txt")
"""The packaged list of refusals, one a line."""

Per = Literal["round", "row"]
"""Whether a row's second answer is drawn anew in each round, or once."""


class Alternatives:
    """Choose a second answer for a row: a function of (seed, row, round), so that it resumes.

    Args:
        answers: Returns a row's possible second answers, always the same ones.
        seed: Seed of every choice.
        per: ``round`` gives a row another one in each round, as TOFU's code does; ``row`` the same one always, as
            closer-look's and DualOptim's do.

    Raises:
        UnknownNameError: ``per`` is neither of the two.

    >>> second = Alternatives(lambda row: ["No idea.", "I cannot say."], seed=0)
    >>> row = QARow(index=3, question="Who?", answer="She.")
    >>> second.pick(row, 5) == second.pick(row, 5), len({second.pick(row, round_) for round_ in range(9)})
    (True, 2)
    """

    def __init__(self, answers: Callable[[QARow], Sequence[str]], seed: int = 0, per: Per = "round") -> None:
        self.answers = answers
        self.seed = seed
        self.per: Per = require_per("per", per)

    def pick(self, row: QARow, round_: int) -> tuple[int, str]:
        """Return the number of the answer that a row gets in a round, and the answer; never the row's own.

        Raises:
            DataError: There is no other answer than the row's own.
        """
        answers = self.answers(row)
        at = f"{self.seed}/{row.index}" + (f"/{round_}" if self.per == "round" else "")
        word = hashlib.sha256(at.encode()).digest()
        first = int.from_bytes(word[:8], "big")
        for offset in range(len(answers)):
            choice = (first + offset) % len(answers)
            if answers[choice] != row.answer:
                return choice, answers[choice]
        raise DataError(
            f"`alternatives` must give row {row.index} ({row.question!r}) an answer besides its own. Found none. Add "
            "one, or take the row out."
        )

    def collate(self, rows: Sequence[QARow], round_: int, encoder: Encoder, pad_id: int) -> TokenBatch:
        """Make one right-padded batch of the rows' questions with the second answers of a round."""
        picked = [self.pick(row, round_) for row in rows]
        second = [replace(row, answer=answer) for row, (_, answer) in zip(rows, picked, strict=True)]
        batch = encoder.collate(second, pad_id)
        batch["choice"] = torch.tensor([choice for choice, _ in picked], dtype=torch.long)
        return batch

    def require_room(self, rows: Sequence[QARow], encoder: Encoder) -> None:
        """Refuse before training what would not fit in it: each row with the longest answer it may get.

        Raises:
            DataError: One does not fit, or is empty; the message names the row.
        """
        longest: dict[tuple[str, ...], str] = {}
        for row in rows:
            answers = tuple(self.answers(row))
            if answers and answers not in longest:
                lengths = encoder.lengths(answers)
                longest[answers] = answers[lengths.index(max(lengths))]
            encoder(row.question, longest.get(answers, row.answer), row.index)


def require_per(argument: str, per: str) -> Per:
    """Return the value.

    Raises:
        UnknownNameError: It is neither ``round`` nor ``row``.
    """
    if per not in get_args(Per):
        raise UnknownNameError.among(argument, str(per), get_args(Per))
    return cast(Per, per)


def refusals(path: str | None = None) -> tuple[str, ...]:
    """Return the lines of a list of refusals that are not blank.

    Args:
        path: A text file with one refusal a line; None takes the packaged list.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It holds no refusal, or is no text.

    >>> len(refusals()), refusals()[-1]
    (100, "I'm sorry, I don't know the answer to that.")
    """
    file = REFUSALS if path is None else Path(path).expanduser()
    if not file.is_file():
        raise DataNotFoundError(
            f"`refusals` must be a text file with one refusal a line. Found nothing at {str(file)!r}. Give its path, "
            "or leave `refusals` unset for the packaged list."
        )
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(
            f"`refusals` must be a text file in UTF-8. Found {error.reason} in {str(file)!r}. Save it as UTF-8."
        ) from error
    found = tuple(line for line in lines if line)
    if not found:
        raise DataError(
            f"`refusals` must hold at least one refusal. Found none in {str(file)!r}. Write one a line, or leave "
            "`refusals` unset for the packaged list."
        )
    return found


def read_alternatives(path: str, rows: Sequence[QARow]) -> Mapping[str, Sequence[str]]:
    """Return each question's second answers from a file of ``write_alternatives``.

    Args:
        path: JSON lines with ``question`` and ``alternatives``, a list of strings.
        rows: The rows that must be in it.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is no text, a line has another form, or a row is missing.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataNotFoundError(
            f"`alternatives` must be 'refusals', 'mismatch' or a file of second answers. Found {path!r}, which is none "
            "of them. Write the file with unlearnkit.datamodules.write_alternatives, or use 'refusals'."
        )
    try:
        # An answer may hold one of the other characters that str.splitlines breaks at.
        lines = file.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"`alternatives` must be a text file in UTF-8. Found {error.reason} in {str(file)!r}. Save it as UTF-8."
        ) from error
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            texts = tuple(entry["alternatives"])
            if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
                raise ValueError("no answers, or empty ones")
            found[str(entry["question"])] = texts
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                "`alternatives` must hold JSON lines with a question and a list of alternatives. Found "
                f"{type(error).__name__}: {error} in {str(file)!r}, line {number}. Mend or write the file again."
            ) from error
    missing = [row.question for row in rows if row.question not in found]
    if missing:
        raise DataError(
            f"`alternatives` must hold second answers to every question to forget. Found none to {len(missing)} of "
            f"{len(rows)} in {str(file)!r}, e.g. {missing[0]!r}. Write the file from the rows of this forget set."
        )
    return found
