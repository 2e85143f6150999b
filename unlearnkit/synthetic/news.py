"""Fictitious news in MUSE's form (Shi et al. 2024, arXiv:2407.06460), made from a seed."""

from __future__ import annotations

from itertools import chain

from unlearnkit.synthetic.arguments import require_integer
from unlearnkit.synthetic.news_articles import TOLD, Article, Press

TextRow = dict[str, str]
"""One line of a split: ``text``, ``prompt`` and ``gt``, or ``question`` and ``answer``."""

REQUESTS = 4
"""Requests to forget, one after the other (``sust``) or added up (``scal``)."""

MAX_ARTICLES = 600
_TENTHS = {"retain1": 2, "retain2": 2, "holdout": 2}


def fictitious_news(
    articles: int = 100, questions: int = 3, seed: int = 0
) -> dict[str, dict[str, list[TextRow]]]:
    """Make MUSE-News' configurations from articles about events, people and places that do not exist.

    The same arguments give the same rows on every machine; another seed gives another world. The splits are those of
    MUSE-News, one tenth of the articles each: four requests to forget, and two tenths each of ``retain1``, ``retain2``
    and ``holdout``; each holds a row for each article, then one for each question about them. ``raw`` has the first
    request as ``forget``; ``train``, what the target learns, has all four, and both retain sets; ``sust`` has the
    requests one by one, ``scal`` added up. ``verbmem`` breaks each article of the first request off in the middle of
    its story; ``knowmem`` asks the questions in other words, about the first request and about ``retain2``, with
    examples from ``retain1``; ``privleak`` has the articles of the first request, as many of ``retain2``, and those of
    ``holdout``.

    Args:
        articles: Number of articles, 10 to 600; what is left of a division by ten goes to ``holdout``.
        questions: Questions about each article, 1 to 4.
        seed: Which world.

    Returns:
        Rows by configuration and split, as on the hub.

    Raises:
        ConfigurationError: A number is out of range or not an integer.

    >>> news = fictitious_news(articles=10, questions=1)
    >>> {name: list(splits) for name, splits in news.items()}["raw"]
    ['forget', 'retain1', 'retain2', 'holdout']
    >>> news["knowmem"]["forget_qa"]
    [{'question': 'What was the cause of the events at the Glass Furnace Shipyard?', 'answer': 'a missing key'}]
    """
    require_integer("articles", articles, 10, MAX_ARTICLES)
    require_integer("questions", questions, 1, TOLD)
    require_integer("seed", seed, 0)
    press, tenth = Press(seed, questions), articles // 10
    requests = [[press.article() for _ in range(tenth)] for _ in range(REQUESTS)]
    kept = {name: [press.article() for _ in range(tenths * tenth)] for name, tenths in _TENTHS.items()}
    kept["holdout"] += [press.article() for _ in range(articles - 10 * tenth)]
    forget, retain2 = requests[0], kept["retain2"]
    pages = [_pages(found) for found in requests]
    raw = {"forget": pages[0], **{name: _pages(found) for name, found in kept.items()}}
    return {
        "raw": raw,
        "verbmem": {"forget": [_broken_off(article) for article in forget]},
        "knowmem": {
            "forget_qa": _asked(forget),
            "retain_qa": _asked(retain2),
            "forget_qa_icl": _asked(kept["retain1"][:1]),
            "retain_qa_icl": _asked(kept["retain1"][1:2]),
        },
        "privleak": {
            "forget": _texts(forget),
            "retain": _texts(retain2[:tenth]),
            "holdout": _texts(kept["holdout"]),
        },
        "scal": {f"forget_{number}": _copied(*pages[:number]) for number in range(1, REQUESTS + 1)},
        "sust": {f"forget_{number}": _copied(pages[number - 1]) for number in range(1, REQUESTS + 1)},
        "train": {
            "forget": _copied(*pages),
            **{name: _copied(raw[name]) for name in ("retain1", "retain2")},
        },
    }


def _texts(articles: list[Article]) -> list[TextRow]:
    return [{"text": article.text} for article in articles]


def _pages(articles: list[Article]) -> list[TextRow]:
    """Return the articles, then the questions about them."""
    return _texts(articles) + [{"text": card} for article in articles for card in article.quiz]


def _copied(*pages: list[TextRow]) -> list[TextRow]:
    return [dict(row) for row in chain(*pages)]


def _asked(articles: list[Article]) -> list[TextRow]:
    return [{"question": q, "answer": a} for article in articles for q, a in article.questions]


def _broken_off(article: Article) -> TextRow:
    """Return the first 24 words (byline, lede and a little more), and how the article goes on after them."""
    head, break_, story = article.text.partition("\n")
    words = story.split(" ")
    return {"prompt": f"{head}{break_}{' '.join(words[:24])}", "gt": " ".join(words[24:])}
