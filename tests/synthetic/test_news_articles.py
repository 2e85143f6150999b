from __future__ import annotations

from unlearnkit.synthetic.news_articles import Press


def entries_of(quiz):
    """Return question and answer of each card of a quiz."""
    return [tuple(line.split(": ", 1)[1] for line in card.split("\n")) for card in quiz]


def test_the_quiz_asks_for_facts_of_the_story_that_are_asked_for_in_other_words():
    press = Press(3, questions=4)
    for _ in range(50):
        article = press.article()
        inside, outside = entries_of(article.quiz), article.questions
        assert [answer for _, answer in inside] == [answer for _, answer in outside]
        assert all(one != other for (one, _), (other, _) in zip(inside, outside, strict=True))
        assert len(inside) == 4 and all(answer in article.text for _, answer in inside)


def test_no_two_articles_share_a_subject_or_a_person():
    press = Press(0, questions=4)
    leaders, reporters, subjects = [], [], []
    for _ in range(300):
        article = press.article()
        reporters.append(article.text.split("\n")[0].split("By ")[1].rstrip("."))
        leaders += [who for q, who in article.questions if q.startswith(("Who took", "Which person"))]
        subjects.append(" ".join(article.questions[0][0].rstrip("?").split(" the ")[-1].split()[:3]))
    people = leaders + reporters
    assert len(leaders) > 150 and len(set(people)) == len(people)
    assert len(set(subjects)) == 300


def test_the_same_seed_writes_the_same_articles():
    first, second, other = (
        [article.text for article in (press.article() for _ in range(5))]
        for press in (Press(1), Press(1), Press(2))
    )
    assert first == second and first != other


def test_several_outlets_report():
    press = Press(0)
    assert len({press.article().text.split(".")[0] for _ in range(60)}) == 8
