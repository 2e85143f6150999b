"""TOFU's configurations put together: every row once, the split as row numbers, the evaluation sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain

from unlearnkit.artifacts import Split, content_hash
from unlearnkit.batches import QARow
from unlearnkit.datamodules.forget_requests import divide, in_authors
from unlearnkit.datamodules.question_data import QuestionRows
from unlearnkit.datamodules.tofu_files import Row
from unlearnkit.errors import ConfigurationError, DataError

RETAIN_OF = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
"""The retain configuration that belongs to each forget configuration."""

KNOWLEDGE = ("real_authors", "world_facts")
"""Sets about the real world; no part of ``full``."""


def configurations(forget: str) -> list[str]:
    """Return the names of all configurations that one forget set needs.

    >>> configurations("forget05")[:4]
    ['full', 'forget05', 'retain95', 'forget05_perturbed']
    """
    known = [f"{name}_perturbed" for name in KNOWLEDGE]
    return ["full", forget, RETAIN_OF[forget], f"{forget}_perturbed", "retain_perturbed", *known]


def read_rows(
    load: Callable[[str], list[Row]],
    forget: str,
    *,
    forget_authors: int | None = None,
    retain_authors: int | None = None,
    holdout_authors: int | None = None,
    requests: Sequence[str] | None = None,
    request: int = 1,
    questions: int = 20,
    evaluation_rows: int | None = None,
) -> QuestionRows:
    """Load the configurations and put them together.

    Rows are recognised by their text, never by their position: a row of ``full`` is in the forget set when
    question and answer are those of a row there, and has perturbed answers when they are those of a row of
    a perturbed configuration. When only some retain authors are kept, those with perturbed answers come first.

    Args:
        load: Returns the rows of a configuration.
        forget: ``forget01``, ``forget05`` or ``forget10``.
        forget_authors: Authors of the forget set to keep, from its first on; None keeps all.
        retain_authors: Authors of the retain set to keep; None keeps all.
        holdout_authors: Authors to take off the end of the retain set first, for nobody to train on; None takes none.
        requests: Authors of each request, as ``TOFU`` says; None makes one of the whole forget set.
        request: Which of them is to be forgotten now, from 1 on.
        questions: Questions about each author.
        evaluation_rows: Retain rows to evaluate at most; None evaluates all that have perturbed answers.

    Raises:
        ConfigurationError: More authors are asked for than there are.
        DataError: The two sets share a row, one of their rows is not in ``full``, or none can be evaluated.
    """
    names = configurations(forget)
    loaded = {name: load(name) for name in names}
    perturbed = {_key(row): row for row in loaded[names[3]] + loaded["retain_perturbed"]}
    sides = {"forget": loaded[forget], "retain": loaded[RETAIN_OF[forget]]}
    _refuse_overlap(sides["forget"], sides["retain"])
    sides["retain"], holdout = _carved(sides["retain"], holdout_authors, questions)
    kept = {
        "forget": _first_authors(sides["forget"], forget_authors, questions, "forget_authors", {}),
        "retain": _first_authors(sides["retain"], retain_authors, questions, "retain_authors", perturbed),
    }
    asked = divide(kept["forget"], requests, request, questions)
    kept = {"forget": asked.requested[-1], "retain": kept["retain"] + asked.kept}
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(loaded["full"]):
        places[_key(row)].append(number)
    split = Split(
        name=forget if requests is None else f"{forget}, request {request} of {len(requests)}",
        forget=_numbers(kept["forget"], places, forget),
        retain=_numbers(kept["retain"], places, RETAIN_OF[forget]),
        # All texts and no path: the same data in another folder are the same source.
        source=f"TOFU rows {content_hash([loaded[name] for name in names])}",
        rows=len(loaded["full"]),
    )
    earlier = [_numbers(rows, places, forget) for rows in asked.requested[:-1]]
    requested = () if requests is None else (*earlier, split.forget)
    rows = [qa_row(number, perturbed.get(_key(row), row)) for number, row in enumerate(loaded["full"])]
    sets = {
        "forget": [
            rows[number]
            for number in (*split.forget, *chain.from_iterable(earlier))
            if rows[number].perturbed_answers
        ],
        "retain": [rows[number] for number in split.retain if rows[number].perturbed_answers],
    }
    sets["retain"] = sets["retain"][:evaluation_rows]
    if holdout:
        sets["holdout"] = [rows[number] for number in _numbers(holdout, places, "the holdout authors")]
    for name, found in sets.items():
        if not found:
            raise DataError(
                f"`path` must give rows of the {name} set in its perturbed configuration. Found none with the same "
                "question and answer. Make that configuration from the rows of the set."
            )
    for name in KNOWLEDGE:
        start = len(rows)
        sets[name] = [qa_row(start + i, row) for i, row in enumerate(loaded[f"{name}_perturbed"])]
        rows += sets[name]
    knowledge = [row for name in KNOWLEDGE for row in sets[name]]
    return QuestionRows(rows, split, sets, knowledge, requested)


def _key(row: Row) -> tuple[str, str]:
    return row["question"], row["answer"]


def qa_row(index: int, row: Row) -> QARow:
    """Return a row of a file as the row of a split that it is."""
    return QARow(
        index=index,
        question=row["question"],
        answer=row["answer"],
        paraphrased_answer=row.get("paraphrased_answer"),
        perturbed_answers=tuple(row.get("perturbed_answer") or ()),
        value=row.get("value"),
    )


def _refuse_overlap(forget: Sequence[Row], retain: Sequence[Row]) -> None:
    shared = {_key(row) for row in forget} & {_key(row) for row in retain}
    if shared:
        question, _ = min(shared)
        raise DataError(
            f"`forget` and `retain` must not share rows. Found {len(shared)} with the same question and answer on "
            f"both sides, e.g. {question!r}. Take them out of one side."
        )


def _first_authors(
    rows: list[Row], authors: int | None, questions: int, argument: str, wanted: dict[tuple[str, str], Row]
) -> list[Row]:
    """Return the rows of the first authors; those whose rows are all in ``wanted`` go before the others."""
    if authors is None:
        return rows
    groups = in_authors(rows, questions)
    if not 1 <= authors <= len(groups):
        raise ConfigurationError(
            f"`{argument}` must be from 1 to {len(groups)}, the authors there are ({questions} questions each). "
            f"Found {authors}. Ask for {len(groups)} or fewer, or leave it unset for all."
        )
    groups.sort(key=lambda group: not all(_key(row) in wanted for row in group))
    return [row for group in groups[:authors] for row in group]


def _carved(rows: list[Row], authors: int | None, questions: int) -> tuple[list[Row], list[Row]]:
    """Return the rows that stay, and those of the last authors."""
    if authors is None:
        return rows, []
    groups = in_authors(rows, questions)
    if not 1 <= authors < len(groups):
        raise ConfigurationError(
            f"`holdout_authors` must be from 1 to {len(groups) - 1}, so that an author is left to retain. Found "
            f"{authors}. Ask for fewer, or leave it unset to hold out none."
        )
    kept = len(groups) - authors
    return [row for group in groups[:kept] for row in group], [
        row for group in groups[kept:] for row in group
    ]


def _numbers(
    rows: Sequence[Row], places: dict[tuple[str, str], list[int]], configuration: str
) -> tuple[int, ...]:
    numbers = []
    for row in rows:
        if not places.get(_key(row)):
            raise DataError(
                f"`path` must give every row of {configuration!r} once in 'full' as well. Found {row['question']!r} "
                "not there, or there less often. Add it to full, or take it out."
            )
        numbers.append(places[_key(row)].pop(0))
    return tuple(numbers)
