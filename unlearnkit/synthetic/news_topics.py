"""What a fictitious story is about and how its facts are told and asked for.

Every fact has several wordings, and which one a story gets, and in which order, is a coin toss of its own. So a model
that never read a story cannot continue it from the templates alone: overlap with the truth then means memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from unlearnkit.synthetic import news_words, values, words
from unlearnkit.synthetic.values import Draw


def day(rng: Random) -> str:
    """Draw a day, e.g. ``Friday, 4 May``."""
    return f"{rng.choice(news_words.WEEKDAYS)}, {rng.randint(1, 28)} {rng.choice(words.MONTHS)}"


def crowd(rng: Random) -> str:
    """Draw a number of people, e.g. ``340 people``."""
    return f"{rng.randint(12, 980)} people"


def money(rng: Random) -> str:
    """Draw a sum in a currency that does not exist, e.g. ``72 thousand skelmarks``."""
    return f"{rng.randint(11, 99)} thousand {values.money(rng)}s"


def helper(rng: Random) -> str:
    """Draw who came to help."""
    return rng.choice(news_words.HELPERS)


def cause(rng: Random) -> str:
    """Draw what set the event off."""
    return rng.choice(news_words.CAUSES)


@dataclass(frozen=True)
class Topic:
    """One fact of a story.

    Attributes:
        name: What the fact is called.
        draw: Draws its value.
        sentences: How it is told; ``{value}``, and ``{subject}``, the thing the story is about.
        questions: How it is asked for; the first one may stand in the paper, all may be asked in evaluation.
    """

    name: str
    draw: Draw
    sentences: tuple[str, ...]
    questions: tuple[str, ...]


TOPICS: tuple[Topic, ...] = (
    Topic(
        "town",
        values.town,
        (
            "It is in {value} that people speak of nothing else.",
            "Shops in {value} stayed closed for the rest of the day.",
            "From the hills above {value} one could see all of it.",
            "The mayor of {value} thanked everybody at noon.",
        ),
        ("In which town is the {subject}?", "Where does the {subject} stand?"),
    ),
    Topic(
        "leader",
        values.person,
        (
            "{value} took charge within minutes.",
            "At the head of it all was {value}, who would not sit down.",
            "Orders came from {value} alone.",
            "Most of the praise went to {value}.",
        ),
        ("Who took charge at the {subject}?", "Which person led the work at the {subject}?"),
    ),
    Topic(
        "crowd",
        crowd,
        (
            "Officials counted {value} on the square.",
            "By evening {value} had gathered outside.",
            "Blankets were handed out to {value}.",
            "No fewer than {value} signed the book.",
        ),
        ("How many people gathered at the {subject}?", "How large was the crowd at the {subject}?"),
    ),
    Topic(
        "money",
        money,
        (
            "The bill is put at {value}.",
            "A fund of {value} was opened the same night.",
            "Insurers speak of {value}.",
            "It will cost the district {value}.",
        ),
        ("What sum is named for the {subject}?", "How much money is the {subject} said to cost?"),
    ),
    Topic(
        "helper",
        helper,
        (
            "The first to arrive were {value}.",
            "Without {value} it would have ended badly.",
            "Tea and bread were brought by {value}.",
            "Long after midnight {value} were still at work.",
        ),
        ("Who came to help at the {subject}?", "Which helpers were at the {subject}?"),
    ),
    Topic(
        "cause",
        cause,
        (
            "It all began with {value}.",
            "The reason, it turned out, was {value}.",
            "Witnesses blame {value}.",
            "What nobody had reckoned with was {value}.",
        ),
        ("What was the cause of the events at the {subject}?", "With what did it begin at the {subject}?"),
    ),
)
"""The facts of every story."""


@dataclass(frozen=True)
class Kind:
    """A kind of story.

    Attributes:
        place: Last word of the name of the thing that the story is about.
        ledes: First sentences with ``{subject}`` and ``{day}``.
    """

    place: str
    ledes: tuple[str, ...]


KINDS: tuple[Kind, ...] = (
    Kind(
        "Mill",
        (
            "A fire broke out at the {subject} on {day}.",
            "Flames were seen above the {subject} early on {day}.",
            "Smoke poured from the {subject} when {day} dawned.",
        ),
    ),
    Kind(
        "Museum",
        (
            "Thieves entered the {subject} on {day} and left with one picture.",
            "An empty frame was found in the {subject} on {day}.",
            "The guards of the {subject} heard nothing when it was robbed on {day}.",
        ),
    ),
    Kind(
        "Bridge",
        (
            "The {subject} was opened to carts and coaches on {day}.",
            "After ten years of work the first wagon crossed the {subject} on {day}.",
            "A ribbon was cut at the {subject} on {day}.",
        ),
    ),
    Kind(
        "Shipyard",
        (
            "Work stopped at the {subject} on {day}.",
            "The hammers of the {subject} fell silent on {day}.",
            "On {day} the gates of the {subject} were locked by its own workers.",
        ),
    ),
    Kind(
        "Festival",
        (
            "The {subject} ended in a downpour on {day}.",
            "Drums and lanterns opened the {subject} on {day}.",
            "Musicians from nine valleys met for the {subject} on {day}.",
        ),
    ),
    Kind(
        "Cave",
        (
            "Bones of an unknown animal were found in the {subject} on {day}.",
            "Two walkers were brought out of the {subject} unharmed on {day}.",
            "On {day} the {subject} gave up an old secret.",
        ),
    ),
)
"""The kinds of stories, as often as each other."""
