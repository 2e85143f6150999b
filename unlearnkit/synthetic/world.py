"""The facts of a fictitious world: who lives in it, and which names are already given."""

from __future__ import annotations

from random import Random

from unlearnkit.synthetic import values
from unlearnkit.synthetic.templates import AUTHOR_TOPICS
from unlearnkit.synthetic.values import unlike


class World:
    """Draw people, books and countries that are each told apart by their names.

    Args:
        seed: Which world.

    >>> World(0).author()["town"]
    'Eronmere'
    """

    def __init__(self, seed: int) -> None:
        # A string seed goes through SHA-512: the same on every machine, whatever PYTHONHASHSEED.
        self.rng = Random(f"fictitious authors {seed}")
        self._names: set[str] = set()
        self._towns: set[str] = set()
        self._titles: set[str] = set()
        self._countries: set[str] = set()

    def person(self) -> str:
        """Draw a full name whose first and last parts are both nobody else's."""
        while True:
            parts = values.person(self.rng).split()
            if self._names.isdisjoint(parts):
                self._names.update(parts)
                return " ".join(parts)

    def title(self) -> str:
        """Draw the title of a new book."""
        return unlike(self.rng, values.title, self._titles)

    def country(self) -> str:
        """Draw a new country."""
        return unlike(self.rng, values.country, self._countries)

    def author(self) -> dict[str, str]:
        """Draw the facts about an author by topic; name, home town and titles are nobody else's."""
        facts = {"name": self.person(), "town": unlike(self.rng, values.town, self._towns)}
        for topic in AUTHOR_TOPICS:
            if topic.name not in facts:
                facts[topic.name] = self.title() if topic.draw is values.title else topic.draw(self.rng)
        return facts
