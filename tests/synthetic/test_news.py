from __future__ import annotations

from itertools import chain

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic import fictitious_news

NEWS = fictitious_news(articles=43, questions=2, seed=5)


def texts(configuration, split):
    return [row["text"] for row in NEWS[configuration][split]]


def test_splits_are_those_of_muse_news():
    assert {name: set(splits) for name, splits in NEWS.items()} == {
        "raw": {"forget", "retain1", "retain2", "holdout"},
        "verbmem": {"forget"},
        "knowmem": {"forget_qa", "retain_qa", "forget_qa_icl", "retain_qa_icl"},
        "privleak": {"forget", "retain", "holdout"},
        "scal": {f"forget_{number}" for number in (1, 2, 3, 4)},
        "sust": {f"forget_{number}" for number in (1, 2, 3, 4)},
        "train": {"forget", "retain1", "retain2"},
    }
    assert {name: len(rows) for name, rows in NEWS["raw"].items()} == {
        "forget": 12, "retain1": 24, "retain2": 24, "holdout": 33,
    }  # fmt: skip


def test_requests_come_one_by_one_and_added_up():
    requests = [texts("sust", f"forget_{number}") for number in (1, 2, 3, 4)]
    assert requests[0] == texts("raw", "forget")
    for number in (1, 2, 3, 4):
        assert texts("scal", f"forget_{number}") == list(chain(*requests[:number]))
    assert texts("train", "forget") == list(chain(*requests))


def test_the_target_learns_everything_but_the_holdout():
    learned = [text for split in NEWS["train"] for text in texts("train", split)]
    assert len(learned) == len(set(learned)) == 96
    assert not set(learned) & set(texts("raw", "holdout"))
    assert texts("privleak", "holdout") == texts("raw", "holdout")[:11], "articles, no questions"
    assert set(texts("privleak", "retain")) <= set(texts("raw", "retain2"))


def test_verbmem_breaks_forget_articles_off():
    for row, text in zip(NEWS["verbmem"]["forget"], texts("raw", "forget")[:4], strict=True):
        assert f"{row['prompt']} {row['gt']}" == text
        assert len(row["gt"].split()) > 20


def test_questions_are_about_their_own_side():
    forget, retain = " ".join(texts("raw", "forget")), " ".join(texts("raw", "retain2"))
    for split, own, other in (("forget_qa", forget, retain), ("retain_qa", retain, forget)):
        for row in NEWS["knowmem"][split]:
            subject = " ".join(row["question"].rstrip("?").split(" the ")[-1].split()[:3])
            assert subject in own and subject not in other and row["answer"] in own
            assert row["question"] not in own


def test_the_same_arguments_give_the_same_rows_and_another_seed_does_not():
    assert fictitious_news(articles=43, questions=2, seed=5) == NEWS
    assert fictitious_news(articles=43, questions=2, seed=6)["raw"] != NEWS["raw"]


@pytest.mark.parametrize(
    "wrong", [{"articles": 9}, {"articles": 601}, {"questions": 0}, {"questions": 5}, {"seed": -1}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=f"`{next(iter(wrong))}` must be an integer"):
        fictitious_news(**wrong)


def test_the_largest_world_can_be_made():
    assert len(fictitious_news(articles=600)["raw"]["forget"]) == 240
