from __future__ import annotations

import pytest

from unlearnkit.errors import MismatchError
from unlearnkit.metrics import Rouge1Recall, RougeLF, RougeLRecall, Utility, Verbmem
from unlearnkit.metrics.functional import rouge_1_recall, rouge_l_f, rouge_l_recall

PREDICTIONS = ["the authors wrote a novel", "in 1994", "", "z y x"]
TARGETS = ["an author writes the novel", "it was in 1994", "lost", "x y z"]


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        (RougeLRecall, rouge_l_recall),
        (RougeLF, rouge_l_f),
        (Rouge1Recall, rouge_1_recall),
        (Utility, rouge_l_recall),
        (Verbmem, rouge_l_recall),
    ],
)
def test_the_mean_of_its_function(metric, score):
    found = metric()
    found.update(PREDICTIONS[:1], TARGETS[:1])
    found.update(PREDICTIONS[1:], TARGETS[1:])
    expected = sum(score(p, t) for p, t in zip(PREDICTIONS, TARGETS, strict=True)) / 4
    assert found.compute().item() == pytest.approx(expected, rel=1e-15)


def test_directions_of_the_paper():
    assert Verbmem.higher_is_better is False
    assert Utility.higher_is_better is True


def test_unequal_lists_are_refused():
    with pytest.raises(MismatchError, match=r"`predictions` .* Found 2 for 1"):
        RougeLRecall().update(["a", "b"], ["a"])


def test_published_means(tofu_logs):
    expected = {"retain": 0.98565459, "real_authors": 0.933, "world_facts": 0.88247863, "forget": 0.98544969}
    for name, value in expected.items():
        metric = RougeLRecall()
        _, generations, truths = zip(*tofu_logs["full"][name]["generated_text"], strict=True)
        metric.update(generations, truths)
        assert metric.compute().item() == pytest.approx(value, abs=5.1e-9)
    metric = Verbmem()
    _, generations, truths = zip(*tofu_logs["retain90"]["forget"]["generated_text"], strict=True)
    metric.update(generations, truths)
    assert metric.compute().item() == pytest.approx(0.40824362, abs=5.1e-9)
