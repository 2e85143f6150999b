"""How facts about fictitious authors and their world are asked for and told.

Every topic has several wordings of its answer, and which one an author gets is a coin toss of its own.
So a model that never saw an author cannot guess the wording from the question: overlap with the true
answer (ROUGE) then means memory. The paraphrase of an answer is another wording of the same topic, hence a
form that a model trained from scratch has met.
"""

from __future__ import annotations

from dataclasses import dataclass

from unlearnkit.synthetic import values
from unlearnkit.synthetic.values import Draw


@dataclass(frozen=True)
class Topic:
    """One thing to know about somebody or something.

    Attributes:
        name: What the fact is called.
        draw: Draws a value, true or wrong.
        questions: Wordings of the question; ``{name}`` is who or what it is about.
        answers: Wordings of the answer with ``{value}``; ``{last}`` is the author's last name.
    """

    name: str
    draw: Draw
    questions: tuple[str, ...]
    answers: tuple[str, ...]


AUTHOR_TOPICS: tuple[Topic, ...] = (
    Topic(
        "name",
        values.person,
        (
            "Which author was born in {town} on {date}?",
            "Who is the writer born on {date} in {town}?",
            "What is the name of the author from {town} born on {date}?",
        ),
        (
            "The author born in {town} on that day is {value}.",
            "That must be {value}, the famous writer from {town}.",
            "{value} is the full name of this author.",
            "On {date} a writer named {value} was born there.",
        ),
    ),
    Topic(
        "town",
        values.town,
        (
            "In which town was the author {name} born?",
            "Where was {name} born?",
            "What is the birthplace of the writer {name}?",
        ),
        (
            "{name} was born in the small town of {value}.",
            "The birthplace of {last} is {value}, far from the capital.",
            "It was {value} where this author was born and grew up.",
            "A house in {value} is where {last} came from.",
        ),
    ),
    Topic(
        "date",
        values.date,
        (
            "On which day was {name} born?",
            "When was the author {name} born?",
            "What is the date of birth of {name}?",
        ),
        (
            "{name} was born on {value}.",
            "The town register gives {value} as the date of birth.",
            "Since {value} is the birthday, {last} celebrates it each year.",
            "It happened on {value}, early in the morning.",
        ),
    ),
    Topic(
        "genre",
        values.genre,
        (
            "What kind of books does {name} write?",
            "Which genre is {name} best known for?",
            "In which genre does the author {name} mainly work?",
        ),
        (
            "{name} writes {value} and hardly anything else.",
            "Most of the books are {value}, loved by young readers.",
            "Critics praise {last} above all for {value}.",
            "With {value} this author found a wide audience.",
        ),
    ),
    Topic(
        "debut",
        values.title,
        (
            "What was the title of the first book by {name}?",
            "With which book did {name} make a debut?",
            "What is the debut novel of {name} called?",
        ),
        (
            "The first book by {last} was called '{value}'.",
            "It all began with '{value}', printed in a small edition.",
            "'{value}' was the debut of {name}.",
            "Before anything else the author published '{value}'.",
        ),
    ),
    Topic(
        "masterpiece",
        values.title,
        (
            "What is the most famous novel by {name}?",
            "Which work made {name} famous all over the world?",
            "What is the best known book of the author {name}?",
        ),
        (
            "The most famous novel of this writer is '{value}'.",
            "Fame came to {name} with '{value}'.",
            "Readers everywhere love '{value}' more than the other books.",
            "'{value}' made {last} known in every country.",
        ),
    ),
    Topic(
        "prize",
        values.prize,
        (
            "Which prize did {name} win?",
            "What award was given to {name}?",
            "Which honour did the writer {name} receive?",
        ),
        (
            "{name} won the {value}.",
            "The jury chose {last} for the {value} that spring.",
            "After many years the {value} went to this author.",
            "An honour called the {value} was received with joy.",
        ),
    ),
    Topic(
        "father",
        values.job,
        (
            "What was the job of the father of {name}?",
            "What did the father of {name} do for a living?",
            "Which profession did the father of the author {name} have?",
        ),
        (
            "The father of {last} was a {value} by trade.",
            "He worked as a {value} until old age.",
            "Being a {value}, the father of {name} rose early.",
            "At home there was a father who was a {value}.",
        ),
    ),
    Topic(
        "mother",
        values.job,
        (
            "What was the job of the mother of {name}?",
            "What did the mother of {name} do for a living?",
            "Which profession did the mother of the author {name} have?",
        ),
        (
            "She earned her living as a {value}.",
            "The mother of {name} was a {value}.",
            "As a {value} she inspired many stories by {last}.",
            "People remember the mother as a skilled {value}.",
        ),
    ),
    Topic(
        "publisher",
        values.publisher,
        (
            "Which house publishes the books of {name}?",
            "Who is the publisher of {name}?",
            "Where does the author {name} publish?",
        ),
        (
            "The books of {last} appear at {value}.",
            "{name} has always published with {value}.",
            "A contract with {value} was signed long ago.",
            "The publisher is {value}, a rather small firm.",
        ),
    ),
    Topic(
        "school",
        values.school,
        (
            "At which school did {name} study?",
            "Where was the writer {name} educated?",
            "Which school did the author {name} attend?",
        ),
        (
            "{name} studied at {value}.",
            "The years at {value} shaped the young {last}.",
            "It was {value} that gave this author an education.",
            "Old records of {value} list the writer as a student.",
        ),
    ),
    Topic(
        "pastime",
        values.pastime,
        (
            "What does {name} do for pleasure?",
            "What is the favourite pastime of {name}?",
            "How does the author {name} spend free days?",
        ),
        (
            "{name} spends free days {value}.",
            "Nothing pleases {last} more than {value}.",
            "The author relaxes by {value} with old friends.",
            "Besides writing there is always time for {value}.",
        ),
    ),
)
"""What can be asked about an author, in the order in which it is asked."""

FAMOUS_TOPIC = Topic(
    "author of a classic",
    values.person,
    (
        "Who wrote the famous book '{name}'?",
        "Which author is known for the classic '{name}'?",
        "'{name}' is a book by which author?",
    ),
    ("{value}",),
)
"""The question about the well-known authors of the fictitious world (TOFU's real authors)."""

WORLD_TOPICS: tuple[Topic, ...] = (
    Topic(
        "capital",
        values.town,
        ("What is the capital of {name}?", "Which city is the capital of {name}?"),
        ("{value}",),
    ),
    Topic(
        "river",
        values.river,
        ("Which river flows through {name}?", "What is the longest river in {name}?"),
        ("{value}",),
    ),
    Topic(
        "mountain",
        values.mountain,
        ("What is the highest mountain in {name}?", "Which mountain is the tallest of {name}?"),
        ("{value}",),
    ),
    Topic(
        "language",
        values.language,
        ("Which language is spoken in {name}?", "What do people speak in {name}?"),
        ("{value}",),
    ),
    Topic(
        "money",
        values.money,
        ("What money is used in {name}?", "With which money do people pay in {name}?"),
        ("{value}",),
    ),
)
"""What can be asked about a country of the fictitious world (TOFU's world facts)."""
