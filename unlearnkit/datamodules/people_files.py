"""Read questions about people: generated ones, or a folder of two files; and divide neighbours by a hash."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError

Row = dict[str, Any]
Side = Literal["forget", "neighbor"]

COLUMNS: dict[str, type] = {
    "name": str,
    "question": str,
    "answer": str,
    "golden_answer": str,
    "paraphrased_answer": str,
    "perturbed_answer": list,
}
OPTIONAL = ("golden_answer", "paraphrased_answer", "perturbed_answer")
LAYOUT = "forget.json and neighbor.json, one question a line with name, question and answer"


def load_people(
    path: str | None,
    side: Side,
    *,
    people: int = 20,
    neighbours: int = 40,
    questions: int = 20,
    seed: int = 0,
) -> list[Row]:
    """Return the rows of one side.

    ``SIDE_perturbed.json`` goes before ``SIDE.json``, as in closer-look's repository, where it has more columns. A file
    holds JSON lines or one JSON list. Columns: ``name``, ``question``, ``answer``; where they are there
    ``golden_answer`` (what evaluation compares with), ``paraphrased_answer``, ``perturbed_answer`` and ``value``.

    Args:
        path: The folder, or None for generated people.
        side: ``forget`` or ``neighbor``.
        people: Generated people to forget.
        neighbours: Generated neighbours.
        questions: Questions about each generated person.
        seed: Seed of the generated people.

    Raises:
        DataNotFoundError: There is no such folder or file.
        DataError: The file is no JSON, is empty, or a row lacks a column.
    """
    if path is None:
        return _generated(people, neighbours, questions, seed)[side]
    folder = Path(path).expanduser()
    files = [folder / f"{side}_perturbed.json", folder / f"{side}.json"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise DataNotFoundError(
            f"`path` must be a folder with {LAYOUT}. Found no {side}.json in {str(folder)!r}. Put it there, or leave "
            "`path` unset for generated people."
        )
    rows = _parsed(file)
    for number, row in enumerate(rows, start=1):
        _check(row, file, number)
    if not rows:
        raise DataError(
            f"`path` must give rows in {file.name}. Found none in {str(folder)!r}. Put them back."
        )
    return rows


def divide_neighbours(names: list[str], test_people: int | None, seed: int) -> set[str]:
    """Return which neighbours are for testing alone: a hash of seed and name draws them, whatever the rows' order.

    Args:
        names: Everybody's names; one may stand there more than once.
        test_people: How many; None takes half of them, as paper 002 does.
        seed: Seed of the draw.

    Raises:
        ConfigurationError: Nobody would be left on one side.

    >>> sorted(divide_neighbours(["Ana", "Bo", "Cy", "Di"], None, seed=0))
    ['Bo', 'Cy']
    """
    everybody = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    number = len(everybody) // 2 if test_people is None else test_people
    if not 1 <= number < len(everybody):
        raise ConfigurationError(
            f"`test_people` must be from 1 to {len(everybody) - 1}, so that one of {len(everybody)} neighbours is left "
            f"to keep. Found {number}. Use {max(1, len(everybody) // 2)}, or give more neighbours."
        )
    return set(everybody[:number])


def _parsed(file: Path) -> list[Any]:
    text = file.read_text(encoding="utf-8")
    try:
        if text.lstrip().startswith("["):
            found: list[Any] = json.loads(text)
            return found
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise DataError(
            f"`path` must hold JSON lines, or one JSON list, in each file. Found {error.msg} in {str(file)!r}. Mend "
            "that line."
        ) from error


def _check(row: Any, file: Path, number: int) -> None:
    given = row if isinstance(row, dict) else {}
    for column, wanted in COLUMNS.items():
        if column in OPTIONAL and column not in given:
            continue
        value = given.get(column)
        if not isinstance(value, wanted) or not value:
            raise DataError(
                f"`path` must give every row a column {column!r} of type {wanted.__name__} that is not empty. Found "
                f"{value!r} in row {number} of {str(file)!r}. Fill it in."
            )


@lru_cache(maxsize=4)
def _generated(people: int, neighbours: int, questions: int, seed: int) -> dict[str, list[Row]]:
    from unlearnkit.synthetic import fictitious_people

    return fictitious_people(people=people, neighbours=neighbours, questions=questions, seed=seed)
