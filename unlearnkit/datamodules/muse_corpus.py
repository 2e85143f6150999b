"""MUSE's configurations put together: what was learned, what is forgotten and kept, what is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

from unlearnkit.artifacts import Split, content_hash
from unlearnkit.batches import QARow
from unlearnkit.datamodules.forget_requests import require_request
from unlearnkit.datamodules.muse_files import Corpus, Row
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError

Forget = Literal["raw", "scal_1", "scal_2", "scal_3", "scal_4", "sust_1", "sust_2", "sust_3", "sust_4"]
Retain = Literal["retain1", "retain2"]

_LEARNED: dict[Corpus, str] = {"News": "train", "Books": "raw"}
"""The configuration that the target learns."""

Load = Callable[[str, str], list[Row]]
"""Returns the rows of a configuration's split."""


@dataclass(frozen=True)
class MUSECorpus:
    """All that one run needs of a corpus.

    Attributes:
        documents: What the target learns; a document's place is its number.
        split: Documents to be forgotten, and those of the retain set that unlearning may see.
        requested: Documents of each request up to this one (``sust``; else of this one alone).
        holdout: Documents that nobody learns.
        evaluation_sets: ``verbmem`` (prompt and continuation), ``forget_knowmem``, ``retain_knowmem``.
        evaluation_texts: ``privleak_forget``, ``privleak_retain``, ``privleak_holdout``.
        examples: Questions and answers that go before those of ``forget_knowmem`` and ``retain_knowmem``.
    """

    documents: list[str]
    split: Split
    requested: tuple[tuple[int, ...], ...]
    holdout: list[str]
    evaluation_sets: dict[str, list[QARow]]
    evaluation_texts: dict[str, list[str]]
    examples: dict[str, tuple[tuple[str, str], ...]]

    @property
    def earlier(self) -> tuple[int, ...]:
        """Documents of earlier requests, on neither side."""
        return tuple(sorted(chain.from_iterable(self.requested[:-1])))

    @property
    def retained(self) -> list[int]:
        """Numbers of the documents that the retrained reference learns."""
        gone = {*self.split.forget, *self.earlier}
        return [number for number in range(len(self.documents)) if number not in gone]


def read_corpus(load: Load, corpus: Corpus, forget: Forget = "raw", retain: Retain = "retain1") -> MUSECorpus:
    """Load the configurations and put them together.

    The target learns ``forget``, ``retain1`` and ``retain2``: of ``train`` for News, where ``forget`` has all four
    requests, of ``raw`` for Books, which has no ``train``. Documents are recognised by their text: one that is in a
    request is forgotten wherever it stands.

    Args:
        load: Returns the rows of a configuration's split.
        corpus: Its name.
        forget: The request: ``raw``, the k-th of ``scal`` (all up to it) or of ``sust`` (after those before it).
        retain: Which retain set unlearning may see.

    Raises:
        UnknownNameError: There is no such request or retain set.
        DataNotFoundError: The corpus has not the split.
        DataError: A document to be forgotten is not among those learned, or none is left to retain.
    """
    for name, value, known in (("forget", forget, get_args(Forget)), ("retain", retain, get_args(Retain))):
        if value not in known:
            raise UnknownNameError.among(name, value, known)

    def texts(configuration: str, split: str) -> list[str]:
        return [row["text"] for row in load(configuration, split)]

    requests = _requests(forget)
    asked = [texts(*request) for request in requests]
    learned = {part: texts(_LEARNED[corpus], part) for part in ("forget", *get_args(Retain))}
    documents = [text for part in learned.values() for text in part]
    sources = [part for part, found in learned.items() for _ in found]
    now = set(asked[-1])
    # A document that is asked for again belongs to the last request alone.
    each = [*({*found} - now for found in asked[:-1]), now]
    before = set[str]().union(*each[:-1])
    _require_learned(now | before, documents, forget, f"{_LEARNED[corpus]}/forget")
    kept = [
        number
        for number, text in enumerate(documents)
        if sources[number] == retain and text not in now | before
    ]
    if not kept:
        raise DataError(
            f"`retain` must hold a document that is not to be forgotten. Found none in {retain!r}. Choose the other "
            "retain set."
        )
    sets = {
        "verbmem": _rows(load("verbmem", "forget"), "prompt", "gt"),
        **{f"{side}_knowmem": _rows(load("knowmem", f"{side}_qa")) for side in ("forget", "retain")},
    }
    attacked = {f"privleak_{part}": texts("privleak", part) for part in ("forget", "retain", "holdout")}
    examples = {
        f"{side}_knowmem": tuple(
            (row["question"], row["answer"]) for row in load("knowmem", f"{side}_qa_icl")
        )
        for side in ("forget", "retain")
    }
    asks = {name: [[row.question, row.answer] for row in rows] for name, rows in sets.items()}
    source = content_hash(
        [documents, sources, asks, attacked, {k: list(map(list, v)) for k, v in examples.items()}]
    )
    return MUSECorpus(
        documents=documents,
        split=Split(
            name=forget,
            forget=tuple(number for number, text in enumerate(documents) if text in now),
            retain=tuple(kept),
            # All texts and no path: the same data in another folder are the same source.
            source=f"MUSE-{corpus} documents {source}, retain set {retain}",
            rows=len(documents),
        ),
        requested=tuple(
            tuple(number for number, text in enumerate(documents) if text in found) for found in each
        ),
        holdout=texts("raw", "holdout"),
        evaluation_sets=sets,
        evaluation_texts=attacked,
        examples=examples,
    )


def request_in(requests: Sequence[str], request: int, forget: str = "raw") -> Forget:
    """Return the request to forget now of those that come one after the other.

    Args:
        requests: ``sust_1``, ``sust_2`` and so on, from the first on.
        request: Its number, from 1 on.
        forget: What was named beside them; only the default may be.

    Raises:
        ConfigurationError: They are others, there is no such one, or ``forget`` names one as well.

    >>> request_in(["sust_1", "sust_2"], 2)
    'sust_2'
    """
    sequence = [name for name in get_args(Forget) if name.startswith("sust_")]
    if not requests or list(requests) != sequence[: len(requests)]:
        raise ConfigurationError(
            f"`requests` must be {', '.join(sequence)} or the first of them, MUSE's requests one after the other. "
            f"Found {', '.join(requests) or 'none'}. Of other requests forget one at a time, e.g. --data.forget=scal_2."
        )
    require_request(request, len(requests))
    if forget != "raw":
        raise ConfigurationError(
            f"`forget` must be left out where `requests` say what is forgotten. Found {forget!r}. Leave one of the two "
            "out."
        )
    found: Forget = sequence[request - 1]
    return found


def _requests(forget: Forget) -> list[tuple[str, str]]:
    """Return configuration and split of the request, after those that come before it.

    >>> _requests("sust_2"), _requests("scal_2")
    ([('sust', 'forget_1'), ('sust', 'forget_2')], [('scal', 'forget_2')])
    """
    name, _, number = forget.partition("_")
    if not number:
        return [("raw", "forget")]
    first = 1 if name == "sust" else int(number)
    return [(name, f"forget_{k}") for k in range(first, int(number) + 1)]


def _require_learned(wanted: set[str], documents: Sequence[str], forget: str, place: str) -> None:
    missing = wanted.difference(documents)
    if missing:
        raise DataError(
            f"`forget` must hold documents that the target learns. Found {len(missing)} of {len(wanted)} in {forget!r} "
            f"that are not, e.g. {min(missing)[:60]!r}. Add them to {place}."
        )


def _rows(rows: Sequence[Row], question: str = "question", answer: str = "answer") -> list[QARow]:
    return [QARow(number, row[question], row[answer]) for number, row in enumerate(rows)]
