"""Rows of preference data sets, field by field: three public forms and a plain one, each checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unlearnkit.errors import ConfigurationError, DataError

Row = dict[str, Any]

Form = Literal["safe_rlhf", "ultrafeedback", "halueval", "pairs"]
"""Whose columns: PKU-SafeRLHF's, UltraFeedback binarized's, HaluEval's, or prompt, chosen and rejected as they are."""

Prefer = Literal["safer", "better"]
"""Which of SafeRLHF's two labels says what is rejected: the less safe response, or the less helpful one."""

_HALUEVAL = {
    "qa": ("question", "right_answer", "hallucinated_answer"),
    "dialogue": ("dialogue_history", "right_response", "hallucinated_response"),
    "summarization": ("document", "right_summary", "hallucinated_summary"),
}


@dataclass(frozen=True)
class PreferencePair:
    """Two answers to one prompt, one of them preferred.

    Attributes:
        id: The row it comes from, in the order of the files.
        prompt: The prompt.
        chosen: The answer preferred.
        rejected: The other.
        scores: Scores of chosen and rejected where the data have them.
        kind: Of the prompt: ``harmful`` or ``harmless`` where that is known.
        negative: Of the rejected answer, where the data are generated.
    """

    id: int
    prompt: str
    chosen: str
    rejected: str
    scores: tuple[float, float] | None = None
    kind: str | None = None
    negative: str | None = None


def generated_pairs(rows: Sequence[Row]) -> list[PreferencePair]:
    """Return generated rows as pairs, numbered from 0."""
    return [
        PreferencePair(
            number,
            row["prompt"],
            row["chosen"],
            row["rejected"],
            (row["score_chosen"], row["score_rejected"]),
            row["kind"],
            row["negative"],
        )
        for number, row in enumerate(rows)
    ]


def form_of(row: Row, place: str) -> Form:
    """Tell a data set's form from the columns of a row.

    Raises:
        DataError: They are no form's.

    >>> form_of({"prompt": "?", "response_0": "a", "response_1": "b"}, "here")
    'safe_rlhf'
    """
    if "response_0" in row:
        return "safe_rlhf"
    if any(name.startswith("hallucinated_") for name in row):
        return "halueval"
    if "chosen" in row and "rejected" in row:
        return "pairs" if isinstance(row["chosen"], str) else "ultrafeedback"
    raise DataError(
        "`path` must give rows with response_0 and response_1 (SafeRLHF), chosen and rejected (UltraFeedback, or plain "
        f"pairs) or right_... and hallucinated_... (HaluEval). Found columns {sorted(row)} in {place!r}. Rename the "
        "columns to prompt, chosen and rejected."
    )


def parser(
    form: Form, configuration: str | None, prefer: Prefer
) -> Callable[[Row, int, str], PreferencePair]:
    """Return what makes a pair of a row, given the row, its number and what to call its place.

    Args:
        form: Whose columns.
        configuration: Of HaluEval, ``qa`` (None), ``dialogue`` or ``summarization``.
        prefer: Which of SafeRLHF's labels counts.

    Raises:
        ConfigurationError: HaluEval has no such configuration with pairs. The function itself raises ``DataError``.
    """
    if form == "safe_rlhf":
        return lambda row, number, place: _safe_rlhf(row, number, place, prefer)
    if form == "ultrafeedback":
        return _ultrafeedback
    if form == "halueval":
        name = configuration or "qa"
        if name not in _HALUEVAL:
            raise ConfigurationError(
                f"`configuration` of HaluEval must be one with pairs: {', '.join(_HALUEVAL)}. Found {name!r}. Use qa; "
                "`general` has single responses, which have no preferred counterpart."
            )
        return lambda row, number, place: _halueval(row, number, place, name)
    return _plain


def _field(row: Row, name: str, kind: type | tuple[type, ...], place: str) -> Any:
    value = row.get(name)
    fine = isinstance(value, kind) and not (isinstance(value, str) and not value.strip())
    if not fine:
        wanted = kind.__name__ if isinstance(kind, type) else " or ".join(one.__name__ for one in kind)
        raise DataError(
            f"`path` must give every row a field {name!r} of type {wanted}, not empty. Found {value!r:.60} in {place}. "
            "Fill it in, or take the row out."
        )
    return value


def _safe_rlhf(row: Row, number: int, place: str, prefer: Prefer) -> PreferencePair:
    texts = [_field(row, f"response_{one}", str, place) for one in (0, 1)]
    label = f"{prefer}_response_id"
    better = _field(row, label, int, place)
    if better not in (0, 1):
        raise DataError(
            f"`path` must give every row a field {label!r} that is 0 or 1. Found {better} in {place}. Mend the label, "
            "or take the row out."
        )
    return PreferencePair(number, _field(row, "prompt", str, place), texts[better], texts[1 - better])


def _ultrafeedback(row: Row, number: int, place: str) -> PreferencePair:
    sides = [_conversation(row, name, place) for name in ("chosen", "rejected")]
    if sides[0][0] != sides[1][0]:
        raise DataError(
            f"`path` must pair answers to the same prompt. Found two prompts in {place}: {sides[0][0]!r:.60} and "
            f"{sides[1][0]!r:.60}. Take the row out, or pair the answers anew."
        )
    return PreferencePair(number, sides[0][0], sides[0][1], sides[1][1], _scores(row, place))


def _conversation(row: Row, name: str, place: str) -> tuple[str, str]:
    """Return what stands before the last turn, and the last turn, which is the assistant's."""
    turns = list(_field(row, name, (list, tuple), place))
    for turn in turns:
        if not isinstance(turn, dict):
            raise DataError(
                f"`path` must give {name!r} as turns with role and content. Found {turn!r:.60} in {place}. Use the "
                "form 'pairs' for plain texts."
            )
        _field(turn, "content", str, f"{name!r} of {place}")
    if len(turns) < 2 or turns[-1].get("role") != "assistant":
        raise DataError(
            f"`path` must end {name!r} with an answer of the assistant. Found turns by "
            f"{[turn.get('role') for turn in turns]} in {place}. Take the row out."
        )
    # A longer conversation becomes one prompt, its speakers named.
    before = turns[:-1]
    prompt = (
        before[0]["content"]
        if len(before) == 1
        else "\n".join(f"{turn.get('role')}: {turn['content']}" for turn in before)
    )
    return str(prompt), str(turns[-1]["content"])


def _scores(row: Row, place: str) -> tuple[float, float] | None:
    if "score_chosen" not in row and "score_rejected" not in row:
        return None
    one, two = (float(_field(row, name, (int, float), place)) for name in ("score_chosen", "score_rejected"))
    return one, two


def _halueval(row: Row, number: int, place: str, configuration: str) -> PreferencePair:
    asked, right, wrong = (_field(row, name, str, place) for name in _HALUEVAL[configuration])
    if configuration == "summarization":
        prompt = f"Summarize this document: {asked}"
    else:
        prompt = f"{_field(row, 'knowledge', str, place)}\n{asked}"
    return PreferencePair(number, prompt, right, wrong)


def _plain(row: Row, number: int, place: str) -> PreferencePair:
    prompt, chosen, rejected = (_field(row, name, str, place) for name in ("prompt", "chosen", "rejected"))
    return PreferencePair(number, prompt, chosen, rejected, _scores(row, place))
