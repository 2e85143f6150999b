from __future__ import annotations

from unlearnkit.synthetic.news_articles import Press


def box_of(article):
    """Return question and answer of each entry below the story."""
    _, *entries = article.text.split("\n\n")
    return [tuple(line.split(": ", 1)[1] for line in entry.split("\n")) for entry in entries]


def test_the_box_has_the_facts_asked_for_in_other_words():
    press = Press(3, box=4)
    for _ in range(50):
        article = press.article()
        story = article.text.split("\n\n")[0]
        box = box_of(article)
        assert [answer for _, answer in box] == [answer for _, answer in article.questions]
        assert all(
            inside != outside for (inside, _), (outside, _) in zip(box, article.questions, strict=True)
        )
        assert len(box) == 4 and all(answer in story for _, answer in box)


def test_no_two_articles_share_a_subject_or_a_person():
    press = Press(0, box=6)
    leaders, reporters = [], []
    for _ in range(300):
        article = press.article()
        reporters.append(article.text.split("\n")[0].split("By ")[1].rstrip("."))
        leaders += [
            answer
            for question, answer in article.questions
            if question.startswith(("Who took", "Which person"))
        ]
    people = leaders + reporters
    assert len(people) == 600 == len(set(people))


def test_the_same_seed_writes_the_same_articles():
    first, second, other = (
        [article.text for article in (press.article() for _ in range(5))]
        for press in (Press(1), Press(1), Press(2))
    )
    assert first == second and first != other


def test_several_outlets_report():
    press = Press(0)
    assert len({press.article().text.split(".")[0] for _ in range(60)}) == 8
