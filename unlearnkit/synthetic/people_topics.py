"""What can be asked about a fictitious person of public life, besides what is asked about authors."""

from __future__ import annotations

from unlearnkit.synthetic import values
from unlearnkit.synthetic.templates import AUTHOR_TOPICS, Topic

PEOPLE_TOPICS: tuple[Topic, ...] = (
    *AUTHOR_TOPICS,
    Topic(
        "home",
        values.town,
        ("Where does {name} live today?", "Which town has {name} moved to?"),
        (
            "{name} lives in {value} now.",
            "A house by the station in {value} is where {last} lives.",
            "It is {value} that became a new home.",
        ),
    ),
    Topic(
        "spouse",
        values.person,
        ("Whom did {name} marry?", "What is the name of the person married to {name}?"),
        (
            "{name} is married to {value}.",
            "The wedding was with {value}, a friend from school.",
            "For many years {value} has been at the side of {last}.",
        ),
    ),
    Topic(
        "wedding",
        values.date,
        ("On which day did {name} marry?", "When was the wedding of {name}?"),
        (
            "The wedding took place on {value}.",
            "{last} married on {value}, in the rain.",
            "Guests remember {value} as the day of the wedding.",
        ),
    ),
    Topic(
        "first job",
        values.job,
        ("What was the first job of {name}?", "As what did {name} work before fame came?"),
        (
            "{name} began as a {value}.",
            "Work as a {value} paid the rent at first.",
            "Before fame came {last} was a {value}.",
        ),
    ),
    Topic(
        "language",
        values.language,
        ("Which foreign language does {name} speak?", "What language did {name} learn abroad?"),
        (
            "{name} speaks {value} without an accent.",
            "Two years abroad were enough to learn {value}.",
            "Letters of {last} are often written in {value}.",
        ),
    ),
    Topic(
        "summit",
        values.mountain,
        ("Which mountain did {name} climb?", "On top of which mountain was {name} photographed?"),
        (
            "{name} once climbed {value}.",
            "A picture shows {last} on top of {value}.",
            "It was {value}, in a storm, and nobody believed it.",
        ),
    ),
    Topic(
        "river",
        values.river,
        ("In which river does {name} swim each morning?", "Along which river does {name} like to walk?"),
        (
            "Every morning starts at the {value}.",
            "{name} is often seen by the {value}.",
            "The {value} is where {last} goes to think.",
        ),
    ),
    Topic(
        "memoir",
        values.title,
        ("What are the memoirs of {name} called?", "Under which title did {name} write about a long life?"),
        (
            "The memoirs of {name} are called '{value}'.",
            "A long life was told in '{value}'.",
            "Look into '{value}', says {last} to those who ask.",
        ),
    ),
)
"""What can be asked about a person, in the order in which it is asked: as many questions as in paper 002, twenty."""
