"""What is learned, forgotten and kept of a corpus, for each kind of request."""

from __future__ import annotations

import json

import pytest

from unlearnkit.datamodules.muse_corpus import MUSECorpus, read_corpus
from unlearnkit.errors import DataError, UnknownNameError
from unlearnkit.synthetic import fictitious_news

NEWS = fictitious_news(articles=20, questions=2, seed=1)


def read(forget="raw", corpus="News", news=NEWS, **other) -> MUSECorpus:
    return read_corpus(lambda configuration, split: news[configuration][split], corpus, forget, **other)


def texts(configuration, split):
    return [row["text"] for row in NEWS[configuration][split]]


def documents(found, numbers):
    return [found.documents[number] for number in numbers]


@pytest.mark.parametrize("forget", ["raw", "scal_1", "scal_3", "sust_1", "sust_3"])
def test_the_request_is_forgotten_and_the_reference_learns_the_rest(forget):
    found = read(forget)
    configuration, _, number = forget.partition("_")
    wanted = texts(configuration, f"forget_{number}" if number else "forget")
    assert documents(found, found.split.forget) == wanted
    assert documents(found, found.split.retain) == texts("raw", "retain1")
    assert found.documents == texts("train", "forget") + texts("raw", "retain1") + texts("raw", "retain2")
    gone = texts("scal", f"forget_{number or 1}")
    assert documents(found, found.retained) == [text for text in found.documents if text not in gone]
    assert found.holdout == texts("raw", "holdout")


def test_requests_and_retain_sets_have_different_splits():
    hashes = {read(forget).split.hash for forget in ("raw", "scal_2", "sust_2", "sust_3")}
    assert len({*hashes, read(retain="retain2").split.hash}) == 5
    assert read("raw").split.hash == read("scal_1").split.hash == read("sust_1").split.hash, (
        "the same request"
    )


def test_another_question_is_another_source():
    other = json.loads(json.dumps(NEWS))
    other["knowmem"]["forget_qa"][0]["answer"] += "!"
    assert read(news=other).split.hash != read().split.hash


def test_books_learn_raw():
    found = read(corpus="Books")
    assert found.documents == [
        text for part in ("forget", "retain1", "retain2") for text in texts("raw", part)
    ]


def test_evaluation_sets():
    found = read()
    assert {name: len(rows) for name, rows in found.evaluation_sets.items()} == {
        "verbmem": 2, "forget_knowmem": 4, "retain_knowmem": 8,
    }  # fmt: skip
    assert found.evaluation_sets["verbmem"][1].answer == NEWS["verbmem"]["forget"][1]["gt"]
    assert {name: len(rows) for name, rows in found.evaluation_texts.items()} == {
        "privleak_forget": 2, "privleak_retain": 2, "privleak_holdout": 4,
    }  # fmt: skip
    first = NEWS["knowmem"]["forget_qa_icl"][0]
    assert found.examples["forget_knowmem"][0] == (first["question"], first["answer"])


def test_a_text_that_stands_in_a_request_is_forgotten_wherever_it_stands():
    twice = json.loads(json.dumps(NEWS))
    twice["train"]["retain1"].append(twice["raw"]["forget"][0])
    found = read(news=twice)
    place = found.documents.index(texts("raw", "forget")[0], 1)
    assert place in found.split.forget and place not in found.split.retain and place not in found.retained


def test_a_request_that_was_not_learned_is_refused():
    other = json.loads(json.dumps(NEWS))
    other["raw"]["forget"][0]["text"] = "never learned"
    with pytest.raises(
        DataError, match=r"Found 1 of 6 in 'raw' that are not, e\.g\. 'never learned'. Add them to train/"
    ):
        read(news=other)


def test_nothing_left_to_retain_is_refused():
    other = json.loads(json.dumps(NEWS))
    other["raw"]["forget"] += other["raw"]["retain1"]
    with pytest.raises(
        DataError, match="`retain` must hold a document that is not to be forgotten. Found none in 'retain1'"
    ):
        read(news=other)


@pytest.mark.parametrize(("name", "value"), [("forget", "sust_5"), ("retain", "retain3")])
def test_unknown_names_are_refused(name, value):
    with pytest.raises(UnknownNameError, match=f"`{name}` must be one of"):
        read(**{name: value})
