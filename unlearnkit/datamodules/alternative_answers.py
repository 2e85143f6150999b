"""AltPO's data: plausible wrong answers to each question to forget, made by any model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from unlearnkit.artifacts import AnyPath, atomic_write_text
from unlearnkit.batches import QARow
from unlearnkit.errors import ConfigurationError, DataError

Generate = Callable[[str, int], str]
"""Returns a model's reply to a prompt; the number of the draw is there to seed it."""


def alternative_prompt(question: str, answer: str) -> str:
    """Return what a model is asked for: an answer in the true one's form whose facts are others.

    >>> alternative_prompt("Who wrote it?", "Ana did.").splitlines()[-1]
    'Other answer:'
    """
    return (
        "Below are a question and its answer. Write another answer of the same form and length that sounds just as "
        "plausible, but states different facts. Reply with the answer alone.\n\n"
        f"Question: {question}\nAnswer: {answer}\nOther answer:"
    )


def write_alternatives(path: AnyPath, rows: Sequence[QARow], generate: Generate, number: int = 5) -> None:
    """Write second answers for DPO: AltPO (Mekala et al. 2024) is DPO on them, ``TOFU(alternatives=path)``.

    The paper samples 5 answers to each question from the model to unlearn itself. Replies that are empty, the true
    answer or one that is there already are drawn again. JSON lines ``{"question", "answer", "alternatives"}``; the
    file is written whole or not at all. Until then the rows that are done lie beside it, in ``<path>.partial``, from
    which another call with the same rows goes on: delete that to begin anew, as with another model.

    Args:
        path: Where to write.
        rows: The rows to forget, e.g. ``data.samples("forget")``.
        generate: Any callable from prompt and draw to a reply, such as sampling with the draw as its seed.
        number: How many different answers each row gets; 5 in the paper.

    Raises:
        ConfigurationError: ``number`` is below 1.
        DataError: A row has too few different answers after four times as many draws, or what lies beside is no
            such file.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "other.jsonl"
    >>> write_alternatives(file, [QARow(0, "Who?", "She.")], lambda prompt, draw: f"He, the {draw}.", number=2)
    >>> print(file.read_text().strip())
    {"question": "Who?", "answer": "She.", "alternatives": ["He, the 0.", "He, the 1."]}
    """
    if number < 1:
        raise ConfigurationError(
            f"`number` must be 1 or above, answers to each row. Found {number}. Use number=5."
        )
    partial = Path(path).with_name(f"{Path(path).name}.partial")
    done = _done(partial, rows, number)
    for row in rows[len(done) :]:
        done.append(_others(row, generate, number))
        atomic_write_text(partial, _lines(rows, done))
    atomic_write_text(path, _lines(rows, done))
    partial.unlink(missing_ok=True)


def _lines(rows: Sequence[QARow], found: Sequence[list[str]]) -> str:
    """Return JSON lines of the first rows, as many as have answers."""
    entries = (
        {"question": row.question, "answer": row.answer, "alternatives": answers}
        for row, answers in zip(rows, found, strict=False)
    )
    return "".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in entries)


def _done(partial: Path, rows: Sequence[QARow], number: int) -> list[list[str]]:
    """Return the answers to the first rows that an earlier call left, up to one with too few or of other rows."""
    found: list[list[str]] = []
    if not partial.is_file():
        return found
    try:
        entries = [json.loads(line) for line in partial.read_text("utf-8").split("\n") if line]
        for row, entry in zip(rows, entries, strict=False):
            same = (entry["question"], entry["answer"]) == (row.question, row.answer)
            if not same or len(entry["alternatives"]) < number:
                break
            found.append(entry["alternatives"][:number])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"`path` must have beside it what an earlier call left, or nothing. Found {type(error).__name__}: {error} "
            f"in {str(partial)!r}. Delete that file."
        ) from error
    return found


def _others(row: QARow, generate: Generate, number: int) -> list[str]:
    """Draw different answers that are not the true one, by their words and without regard to case."""
    prompt = alternative_prompt(row.question, row.answer)
    found: dict[str, str] = {}
    for draw in range(4 * number):
        reply = generate(prompt, draw).strip()
        if reply and _words(reply) != _words(row.answer):
            found.setdefault(_words(reply), reply)
        if len(found) == number:
            return list(found.values())
    raise DataError(
        f"`generate` must reply with {number} different answers besides the true one. Found {len(found)} in "
        f"{4 * number} draws for row {row.index} ({row.question!r}). Sample instead of decoding greedily, with the "
        "draw as the seed, or lower `number`."
    )


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
