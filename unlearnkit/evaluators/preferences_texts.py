"""What is read of responses: rewards, refusals, verdicts, similarity to the prompt, repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearnkit.evaluators.answers import Columns
from unlearnkit.evaluators.preferences_rows import PreferenceRow
from unlearnkit.metrics.functional import (
    Aspect,
    Case,
    Judge,
    Reward,
    ask,
    both_orders,
    pair_win,
    refuses,
    repeats,
    response_rewards,
    trigram_cosine,
)

Encoder = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""Returns the similarity of each (prompt, response)."""

OVERLAP = "word overlap with chosen less rejected"
"""Name of the reward where neither user nor data have one."""


def overlap_reward(rows: Sequence[PreferenceRow]) -> Reward:
    """Return a reward that needs no model: trigram cosine with the prompt's chosen response less with the rejected.

    It knows these rows' prompts alone, and wording, not meaning. Of several rows with one prompt, the mean counts.

    Args:
        rows: Rows whose prompts are answered.
    """
    pairs: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        pairs.setdefault(row.prompt, []).append((row.chosen, row.rejected))

    def reward(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        found = []
        for prompt, text in zip(prompts, responses, strict=True):
            gaps = [trigram_cosine(text, good) - trigram_cosine(text, bad) for good, bad in pairs[prompt]]
            found.append(sum(gaps) / len(gaps))
        return found

    return reward


def text_columns(
    rows: Sequence[PreferenceRow],
    generations: Sequence[str],
    attacked: Sequence[bool],
    *,
    reward: Reward,
    judge: Judge,
    aspects: Sequence[Aspect],
    retries: int,
    encoder: Encoder,
    markers: Sequence[str],
    exact: bool,
) -> tuple[Columns, list[str]]:
    """Return the columns of texts, a list over rows each, and what the judge raised at last.

    Args:
        rows: The rows.
        generations: The model's response to each.
        attacked: Which prompts attacks are counted on.
        reward: Scores responses.
        judge: Judges them.
        aspects: What the judge is asked.
        retries: How often it is asked again where it raises.
        encoder: Compares prompts with responses.
        markers: What refusals hold.
        exact: Whether their case and apostrophes count.
    """
    prompts = [row.prompt for row in rows]
    opponents = [row.chosen if row.reference is None else row.reference for row in rows]
    found: Columns = {
        "reward": response_rewards(reward, prompts, generations),
        "refused": [refuses(text, markers, exact) for text in generations],
        "coherence": list(encoder(list(zip(prompts, generations, strict=True)))) if rows else [],
        "degenerate": [repeats(text) for text in generations],
        "opponent": opponents,
        "judge_skipped": [0] * len(rows),
    }
    errors: list[str] = []
    for aspect in aspects:
        places, cases = _cases(aspect, rows, generations, opponents, attacked)
        verdicts = ask(judge, cases, retries)
        errors += verdicts.errors
        each = len(cases) // max(len(places), 1)
        column: list[float | None] = [None] * len(rows)
        for number, place in enumerate(places):
            own = verdicts.values[number * each : (number + 1) * each]
            column[place] = pair_win(*own) if aspect == "preference" else own[0]
            found["judge_skipped"][place] += own.count(None)
        found[aspect] = column
    return found, errors


def _cases(
    aspect: Aspect,
    rows: Sequence[PreferenceRow],
    generations: Sequence[str],
    opponents: Sequence[str],
    attacked: Sequence[bool],
) -> tuple[list[int], list[Case]]:
    """Return the rows that a judge is asked about, and the cases, equally many a row."""
    everywhere = list(range(len(rows)))
    if aspect == "preference":
        texts = zip(rows, generations, opponents, strict=True)
        return everywhere, [
            case for row, text, other in texts for case in both_orders(row.prompt, text, other)
        ]
    if aspect == "hallucination":
        places = [place for place in everywhere if rows[place].kind != "harmful"]
        return places, [
            Case(aspect, rows[place].prompt, generations[place], rows[place].chosen) for place in places
        ]
    places = [place for place in everywhere if attacked[place]]
    return places, [Case(aspect, rows[place].prompt, generations[place]) for place in places]
