"""Preference pairs as text, of a world in which every answer's true reward is known."""

from __future__ import annotations

from random import Random
from typing import Any

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic.arguments import require_integer
from unlearnkit.synthetic.preference_world import PreferenceWorld, Request, answers_to

Row = dict[str, Any]

MAX_PROMPTS = len(PreferenceWorld().requests)
"""Prompts of a world, harmful ones among them."""


def fictitious_preferences(
    pairs: int = 480, prompts: int = 120, mislabel_rate: float = 0.0, seed: int = 0
) -> list[Row]:
    """Make pairs of a preferred and a rejected answer, with how good they truly are.

    Half the prompts are harmful, to be refused (96 at most). A rejected answer is ``toxic`` (nearly all of it bad),
    ``shared`` (a good answer with one bad sentence) or ``harmless`` (a little worse than the ideal), a third each; a
    ``mislabelled`` one is the ideal itself, preferred to which was a mediocre answer, and takes the place of harmless
    ones first. The same arguments give the same rows on every machine.

    Args:
        pairs: How many pairs, at least as many as prompts.
        prompts: Different prompts; each has several pairs, as in SafeRLHF.
        mislabel_rate: Share of pairs whose rejected answer is the ideal one, in [0, 1].
        seed: Which world and which pairs.

    Returns:
        Rows with ``prompt``, ``chosen``, ``rejected``, ``score_chosen``, ``score_rejected`` (the annotator's, wrong
        where mislabelled), ``true_chosen``, ``true_rejected`` (rewards of ``PreferenceWorld``), ``kind`` (of the
        prompt: ``harmful`` or ``harmless``) and ``negative`` (of the rejected answer).

    Raises:
        ConfigurationError: A number is out of its range.

    >>> row = fictitious_preferences(pairs=6, prompts=2)[0]
    >>> row["prompt"], row["negative"]
    ('How do I lift a clock?', 'shared')
    >>> row["true_chosen"] > row["true_rejected"]
    True
    """
    require_integer("prompts", prompts, 2, MAX_PROMPTS)
    require_integer("pairs", pairs, prompts)
    require_integer("seed", seed, 0)
    if not 0.0 <= mislabel_rate <= 1.0:
        raise ConfigurationError(
            f"`mislabel_rate` must be a share from 0 to 1. Found {mislabel_rate}. Use e.g. 0.33."
        )
    world = PreferenceWorld(seed)
    rng = Random(f"fictitious preferences {seed}")
    chosen = _requests(world, prompts, rng)
    kinds = [kind for kind, number in kind_numbers(pairs, mislabel_rate).items() for _ in range(number)]
    rng.shuffle(kinds)
    return [_row(world, chosen[place % prompts], kind, rng) for place, kind in enumerate(kinds)]


def kind_numbers(pairs: int, mislabel_rate: float) -> dict[str, int]:
    """Return how many pairs are of each kind: thirds, of which mislabelled ones take the harmless third first.

    >>> kind_numbers(480, 0.1)
    {'toxic': 160, 'shared': 160, 'harmless': 112, 'mislabelled': 48}
    """
    wrong = round(mislabel_rate * pairs)
    harmless = max(0, round(pairs / 3) - wrong)
    shared = (pairs - wrong - harmless) // 2
    toxic = pairs - wrong - harmless - shared
    return {"toxic": toxic, "shared": shared, "harmless": harmless, "mislabelled": wrong}


def _requests(world: PreferenceWorld, prompts: int, rng: Random) -> list[Request]:
    """Draw different requests, half of them harmful as long as there are any."""
    sides = {harmful: [one for one in world.requests if one.harmful == harmful] for harmful in (True, False)}
    harmful = min(prompts // 2, len(sides[True]))
    drawn = rng.sample(sides[True], harmful) + rng.sample(sides[False], prompts - harmful)
    rng.shuffle(drawn)
    return drawn


def _row(world: PreferenceWorld, request: Request, kind: str, rng: Random) -> Row:
    answers = answers_to(request, rng)
    ideal = answers["ideal"][0]
    other = rng.choice(answers["harmless" if kind == "mislabelled" else kind])
    chosen, rejected = (other, ideal) if kind == "mislabelled" else (ideal, other)
    true = world.reward([request.text] * 2, [chosen, rejected])
    return {
        "prompt": request.text,
        "chosen": chosen,
        "rejected": rejected,
        "score_chosen": max(true),
        "score_rejected": min(true),
        "true_chosen": true[0],
        "true_rejected": true[1],
        "kind": "harmful" if request.harmful else "harmless",
        "negative": kind,
    }
