"""A row in each public form of preference pairs, and a file of some rows."""

from __future__ import annotations

import json
from pathlib import Path

SAFE = {
    "prompt": "P?",
    "response_0": "zero",
    "response_1": "one",
    "better_response_id": 0,
    "safer_response_id": 1,
}
USER = {"role": "user", "content": "P?"}


def turns(text: str, prompt: str = "P?") -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]


ULTRA = {
    "prompt": "P?",
    "chosen": turns("good"),
    "rejected": turns("bad"),
    "score_chosen": 8.0,
    "score_rejected": 2,
}
HALU = {"knowledge": "K.", "question": "P?", "right_answer": "good", "hallucinated_answer": "bad"}
PLAIN = {"prompt": "P?", "chosen": "good", "rejected": "bad"}


def written(file: Path, *rows: object) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)
