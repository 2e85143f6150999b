"""Stories: the facts of one invented event, the article about it, and the questions that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from unlearnkit.synthetic import news_words, values, words
from unlearnkit.synthetic.news_topics import KINDS, TOPICS, day
from unlearnkit.synthetic.values import unlike


@dataclass(frozen=True)
class Article:
    """One article.

    Attributes:
        text: All of it: byline, story, and a box of questions and answers at its end.
        questions: The facts in the box, asked for in other words than there, each with its answer.
    """

    text: str
    questions: tuple[tuple[str, str], ...]


class Press:
    """Write article after article about events, people and places that do not exist.

    No two articles share a subject, a reporter's or a leader's name. At the end of each article stands a box of some
    questions and answers: it stands in for what a pretrained model knows already, namely how questions are answered.

    Args:
        seed: Which world.
        box: Questions in the box of each article.

    >>> article = Press(0).article()
    >>> article.text.partition(".")[0], article.questions[1]
    ('Kravbeck Gazette', ('Which helpers were at the Glass Furnace Shipyard?', "the beekeepers' union"))
    """

    def __init__(self, seed: int, box: int = 3) -> None:
        # A string seed goes through SHA-512: the same on every machine, whatever PYTHONHASHSEED.
        self.rng = Random(f"fictitious news {seed}")
        self.box = box
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
        facts = {
            topic.name: self._person() if topic.draw is values.person else topic.draw(rng) for topic in TOPICS
        }
        told = [
            rng.choice(topic.sentences).format(subject=subject, value=facts[topic.name])
            for topic in rng.sample(TOPICS, len(TOPICS))
        ]
        lede = rng.choice(kind.ledes).format(subject=subject, day=day(rng))
        quote = f'"{rng.choice(news_words.QUOTES)}," said {facts["leader"].split()[0]}.'
        told.insert(rng.randrange(2, len(told)), quote)
        boxed = sorted(rng.sample(TOPICS, self.box), key=TOPICS.index)
        asked = [rng.sample(topic.questions, 2) for topic in boxed]
        answers = [facts[topic.name] for topic in boxed]
        inside, outside = (
            tuple(
                (forms[which].format(subject=subject), answer)
                for forms, answer in zip(asked, answers, strict=True)
            )
            for which in range(2)
        )
        byline = f"{rng.choice(self.outlets)}. By {self._person()}."
        story = " ".join([lede, *told, rng.choice(news_words.ENDINGS)])
        text = "\n\n".join([f"{byline}\n{story}", *(f"Question: {q}\nAnswer: {a}" for q, a in inside)])
        return Article(text, outside)
