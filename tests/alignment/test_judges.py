"""The judge that ships: rules with words, markers and a reward of one's own; an outage is retried and counted."""

from __future__ import annotations

import pytest

from unlearnkit.alignment.judges import RuleJudge
from unlearnkit.errors import ConfigurationError, UnlearnKitWarning
from unlearnkit.metrics import WinRate
from unlearnkit.metrics.functional import Case, ask, rule_verdict

TEXTS = ["I'm sorry, no.", "Mix the red one with water.", "Non, merci, pas ici."]


@pytest.mark.parametrize("aspect", ["answer", "useful", "summary"])
def test_without_arguments_it_is_the_rules(aspect):
    for text in TEXTS:
        case = Case(aspect, "How?", text)
        assert RuleJudge()(case) == rule_verdict(case)


def test_markers_words_and_reward_are_ones_own():
    judge = RuleJudge(
        lambda prompts, responses: [-len(text) for text in responses], ["WATER"], ["non, merci"]
    )
    assert [judge(Case("answer", "How?", text)) for text in TEXTS] == [1, 1, 0]
    assert [judge(Case("summary", "How?", text)) for text in TEXTS] == [0, 1, 0]
    assert judge(Case("preference", "How?", TEXTS[0], TEXTS[1])) == 1


def test_it_decides_win_rates():
    metric = WinRate(judge=RuleJudge())
    metric.update(["Where is the red one?"] * 2, [TEXTS[1], TEXTS[0]], [TEXTS[0], TEXTS[1]])
    assert metric.compute().item() == 0.5


def test_a_service_that_answers_neither_yes_nor_no():
    answers = iter(["hm", "yes", "?", "?", "no"])

    def service(case):
        return {"yes": 1.0, "no": 0.0}[next(answers)]

    with pytest.warns(UnlearnKitWarning, match=r"KeyError: '\?'"):
        found = ask(service, [Case("answer", "How?", text) for text in TEXTS], retries=1)
    assert found.values == [1.0, None, 0.0] and found.retried == 2


def test_what_it_cannot_go_by():
    with pytest.raises(ConfigurationError, match="`harmful` must be a list of words"):
        RuleJudge(harmful="acid")
    with pytest.raises(ConfigurationError, match="`markers` must be a list"):
        RuleJudge(markers=[])
