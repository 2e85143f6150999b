"""How a value of each kind is drawn: names, towns, dates, titles, prizes and the rest."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from unlearnkit.synthetic import words

Draw = Callable[[Random], str]


def person(rng: Random) -> str:
    """Draw a full name.

    >>> person(Random("demo"))
    'Wynshan Kettlerune'
    """
    given = rng.choice(words.GIVEN_STARTS) + rng.choice(words.GIVEN_ENDS)
    return f"{given} {rng.choice(words.LAST_STARTS)}{rng.choice(words.LAST_ENDS)}"


def town(rng: Random) -> str:
    """Draw a town."""
    return rng.choice(words.PLACE_STARTS) + rng.choice(words.TOWN_ENDS)


def date(rng: Random) -> str:
    """Draw a date of birth, e.g. ``4 May 1931``."""
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)} {rng.randint(1900, 1979)}"


def genre(rng: Random) -> str:
    """Draw a genre, in the plural."""
    return f"{rng.choice(words.GENRE_PLACES)} {rng.choice(words.GENRE_KINDS)}"


def title(rng: Random) -> str:
    """Draw the title of a book."""
    adjective, noun = rng.choice(words.TITLE_ADJECTIVES), rng.choice(words.TITLE_NOUNS)
    return rng.choice((f"The {adjective} {noun}", f"{adjective} {noun} Songs"))


def prize(rng: Random) -> str:
    """Draw a literary prize."""
    parts = (words.PRIZE_METALS, words.PRIZE_ANIMALS, words.PRIZE_ENDS)
    return " ".join(rng.choice(part) for part in parts)


def job(rng: Random) -> str:
    """Draw a job; it starts with a consonant, so that ``a`` fits before it."""
    return rng.choice(words.JOBS)


def publisher(rng: Random) -> str:
    """Draw a publishing house."""
    return f"{rng.choice(words.TITLE_NOUNS)} {rng.choice(words.PUBLISHER_ENDS)}"


def school(rng: Random) -> str:
    """Draw a school."""
    return f"{town(rng)} {rng.choice(words.SCHOOL_ENDS)}"


def pastime(rng: Random) -> str:
    """Draw what someone does for pleasure, e.g. ``carving masks``."""
    return f"{rng.choice(words.PASTIME_ACTS)} {rng.choice(words.PASTIME_THINGS)}"


def country(rng: Random) -> str:
    """Draw a country."""
    return rng.choice(words.PLACE_STARTS).rstrip("aeiou") + rng.choice(words.COUNTRY_ENDS)


def river(rng: Random) -> str:
    """Draw a river."""
    return f"{town(rng)} River"


def mountain(rng: Random) -> str:
    """Draw a mountain."""
    return f"Mount {town(rng)}"


def language(rng: Random) -> str:
    """Draw a language."""
    return rng.choice(words.PLACE_STARTS).rstrip("aeiou") + rng.choice(words.LANGUAGE_ENDS)


def money(rng: Random) -> str:
    """Draw the money of a country."""
    return rng.choice(words.PLACE_STARTS).lower() + rng.choice(words.MONEY_ENDS)


def unlike(rng: Random, draw: Draw, taken: set[str]) -> str:
    """Draw a value that neither holds nor is held by any of the taken ones, and add it to them.

    >>> taken = {"baker"}
    >>> unlike(Random(0), job, taken) in taken - {"baker"}
    True
    """
    while True:
        value = draw(rng)
        if not any(value in other or other in value for other in taken):
            taken.add(value)
            return value
