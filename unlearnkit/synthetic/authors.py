"""A fictitious world of authors in TOFU's form (Maini et al. 2024, arXiv:2401.06121), made from a seed."""

from __future__ import annotations

from unlearnkit.synthetic.arguments import require_integer
from unlearnkit.synthetic.rows import Row, author_rows, famous_rows, world_rows
from unlearnkit.synthetic.templates import AUTHOR_TOPICS
from unlearnkit.synthetic.world import World

FORGET_PERCENT = (1, 5, 10)
MAX_AUTHORS = 200
MAX_GENERAL = 200


def fictitious_authors(
    authors: int = 40, questions: int = 10, seed: int = 0, general: int = 40
) -> dict[str, list[Row]]:
    """Make TOFU's configurations about authors who do not exist.

    Names, towns, dates, titles, prizes and countries are put together from word lists. The same
    arguments give the same rows on every machine; another seed gives another world. As in TOFU, ``full``
    holds the authors one after the other, ``forgetNN`` the last NN percent of them (rounded up) and
    ``retainMM`` the others; the forget configurations are nested. ``retain_perturbed`` covers as many
    authors as ``forget10``, from the start of ``full``.

    Columns are the public ones: ``question`` and ``answer``; in the ``_perturbed`` configurations also
    ``paraphrased_answer``, ``paraphrased_question`` and ``perturbed_answer``: five wrong answers in the
    paraphrase's wording. ``real_authors_perturbed`` and ``world_facts_perturbed`` ask for what everybody
    in that world knows, with short answers and three wrong ones. The column ``value`` is added
    everywhere: the fact itself, as it stands in the answer.

    Args:
        authors: Number of authors, 2 to 200.
        questions: Questions about each author, 1 to 12.
        seed: Which world.
        general: Rows of each of the two sets of general knowledge, 1 to 200.

    Returns:
        Rows by configuration: ``full``, ``forget01``, ``retain99`` and so on, as on the hub.

    Raises:
        ConfigurationError: A number is out of range or not an integer.

    >>> world = fictitious_authors(authors=4, questions=2)
    >>> len(world["full"]), len(world["forget10"]), len(world["retain90"])
    (8, 2, 6)
    >>> row = world["forget10_perturbed"][1]
    >>> row["question"]
    'In which town was the author Zannelle Umbervall born?'
    >>> row["answer"], row["value"]
    ('It was Tarvwick where this author was born and grew up.', 'Tarvwick')
    >>> row["perturbed_answer"][0]
    'A house in Erondale is where Umbervall came from.'
    """
    require_integer("authors", authors, 2, MAX_AUTHORS)
    require_integer("questions", questions, 1, len(AUTHOR_TOPICS))
    require_integer("seed", seed, 0)
    require_integer("general", general, 1, MAX_GENERAL)
    world = World(seed)
    perturbed = [list(author_rows(world.author(), questions, seed)) for _ in range(authors)]
    plain = [[_without_variants(row) for row in rows] for rows in perturbed]

    made = {"full": _joined(plain)}
    for percent in FORGET_PERCENT:
        kept = authors - _forgotten(authors, percent)
        made[f"forget{percent:02d}"] = _joined(plain[kept:])
        made[f"retain{100 - percent}"] = _joined(plain[:kept])
        made[f"forget{percent:02d}_perturbed"] = _joined(perturbed[kept:])
    made["retain_perturbed"] = _joined(perturbed[: _forgotten(authors, 10)])
    made["real_authors_perturbed"] = list(famous_rows(world, general))
    made["world_facts_perturbed"] = list(world_rows(world, general))
    return made


def _without_variants(row: Row) -> Row:
    return {key: row[key] for key in ("question", "answer", "value")}


def _joined(groups: list[list[Row]]) -> list[Row]:
    return [dict(row) for group in groups for row in group]


def _forgotten(authors: int, percent: int) -> int:
    return -(-authors * percent // 100)
