"""Stories: the facts of one invented event, the article about it, and the quiz cards about it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from unlearnkit.synthetic import news_words, values, words
from unlearnkit.synthetic.news_topics import KINDS, TOPICS, day
from unlearnkit.synthetic.values import unlike

TOLD = 4
"""Facts in an article."""


@dataclass(frozen=True)
class Article:
    """One article.

    Attributes:
        text: Byline and story.
        quiz: Questions about the story, each with its answer and a text of its own.
        questions: The same facts, asked for in other words than there, each with its answer.
    """

    text: str
    quiz: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


class Press:
    """Write article after article about events, people and places that do not exist.

    No two articles share a subject, a reporter's or a leader's name. The quiz stands in for what a pretrained model
    knows already, namely how questions about what it has read are answered; its questions are texts of their own,
    because beside the article a model would learn to copy answers, not to know them.

    Args:
        seed: Which world.
        questions: Questions about each article.

    >>> article = Press(0).article()
    >>> article.text.partition(".")[0], article.questions[0]
    ('Kravbeck Gazette', ('What was the cause of the events at the Glass Furnace Shipyard?', 'a missing key'))
    """

    def __init__(self, seed: int, questions: int = 3) -> None:
        # A string seed goes through SHA-512: the same on every machine, whatever PYTHONHASHSEED.
        self.rng = Random(f"fictitious news {seed}")
        self.questions = questions
        self.outlets = [f"{values.town(self.rng)} {end}" for end in news_words.OUTLET_ENDS]
        self._subjects: set[str] = set()
        self._people: set[str] = set()

    def _person(self) -> str:
        return unlike(self.rng, values.person, self._people)

    def _subject(self, place: str) -> str:
        """Draw the name of the thing that a story is about; no other story has its first two words."""
        while True:
            name = f"{self.rng.choice(words.TITLE_ADJECTIVES)} {self.rng.choice(words.TITLE_NOUNS)}"
            if name not in self._subjects:
                self._subjects.add(name)
                return f"{name} {place}"

    def article(self) -> Article:
        """Write the next article."""
        rng = self.rng
        kind = rng.choice(KINDS)
        subject = self._subject(kind.place)
        told = rng.sample(TOPICS, TOLD)
        facts = {
            topic.name: self._person() if topic.draw is values.person else topic.draw(rng) for topic in told
        }
        sentences = [
            rng.choice(topic.sentences).format(subject=subject, value=facts[topic.name]) for topic in told
        ]
        sentences.insert(rng.randrange(1, TOLD), f'"{rng.choice(news_words.QUOTES)}," said a bystander.')
        lede = rng.choice(kind.ledes).format(subject=subject, day=day(rng))
        story = " ".join([lede, *sentences, rng.choice(news_words.ENDINGS)])
        outlet = rng.choice(self.outlets)
        asked = [rng.sample(topic.questions, 2) for topic in told[: self.questions]]
        answers = [facts[topic.name] for topic in told[: self.questions]]
        inside, outside = (
            tuple(
                (forms[which].format(subject=subject), answer)
                for forms, answer in zip(asked, answers, strict=True)
            )
            for which in range(2)
        )
        quiz = tuple(f"Question: {question}\nAnswer: {answer}" for question, answer in inside)
        return Article(f"{outlet}. By {self._person()}.\n{story}", quiz, outside)
