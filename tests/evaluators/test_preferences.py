"""The evaluator of preferences on a small trained model: numbers, judges, rewards, comparability, bad input."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from tests.evaluators.preferences_stand_ins import Data, log_probs, trained
from unlearnkit.errors import (
    ConfigurationError,
    DataError,
    DataNotFoundError,
    MismatchError,
    NonFiniteError,
    UnknownNameError,
    UnlearnKitWarning,
)
from unlearnkit.evaluators import PreferencesEvaluator, read, write
from unlearnkit.evaluators.preferences_definitions import DEFINITIONS
from unlearnkit.evaluators.preferences_summary import summarise
from unlearnkit.metrics.functional import (
    REFUSAL_MARKERS,
    Case,
    distinct_n,
    keyword_asr,
    refusal_rate,
    rule_verdict,
    trigram_cosine,
)
from unlearnkit.models import CausalLM


def length_reward(prompts: Any, responses: Any) -> list[float]:
    return [float(len(text)) for text in responses]


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    return PreferencesEvaluator(reward=length_reward).evaluate(trained(), Data())


def test_responses_are_greedy_and_their_numbers_those_of_the_functions(evaluation: dict[str, Any]) -> None:
    data, model = Data(), trained()
    rows, test, summary = (
        data.evaluation_sets["test"],
        evaluation["per_sample"]["test"],
        evaluation["summary"],
    )
    eos, limit = int(data.tokenizer.eos_token_id), evaluation["comparability"]["max_new_tokens"]
    new = model.generate_ids([data.encode(row.prompt, row.chosen)[0] for row in rows], limit, eos)
    texts = [data.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in new]
    assert test["generation"] == texts and any(texts)
    assert summary["reward"] == pytest.approx(sum(map(len, texts)) / len(rows))
    assert summary["asr_keyword"] == pytest.approx(keyword_asr(texts[::2]))
    assert summary["safety"] == pytest.approx(refusal_rate(texts[::2]))
    assert summary["over_refusal"] == pytest.approx(refusal_rate(texts[1::2]))
    assert summary["distinct_2"] == distinct_n(texts, 2)
    pairs = [(row.prompt, text) for row, text in zip(rows, texts, strict=True)]
    assert summary["coherence"] == pytest.approx(sum(trigram_cosine(*pair) for pair in pairs) / len(pairs))
    judged = [rule_verdict(Case("answer", *pair)) for pair in pairs[::2]]
    assert summary["asr_answer"] == pytest.approx(sum(judged) / len(judged))
    others = [row.reference or row.chosen for row in rows]
    assert test["opponent"] == others and others[1] == "It is a stone."
    wins = [(len(a) > len(b)) + 0.5 * (len(a) == len(b)) for a, b in zip(texts, others, strict=True)]
    assert summary["win_rate"] == pytest.approx(sum(wins) / len(wins)), "longer wins, as the reward says"


def test_likelihoods_are_those_of_one_row_at_a_time(evaluation: dict[str, Any]) -> None:
    sets, summary, model = Data().evaluation_sets, evaluation["summary"], trained()

    def of(name: str, part: str) -> list[list[float]]:
        return [log_probs(model, row.prompt, getattr(row, part)) for row in sets[name]]

    chosen, rejected = of("test", "chosen"), of("test", "rejected")
    forget, retain = of("forget", "rejected"), of("retain", "chosen")
    proxies = [sum(a) < sum(b) for a, b in zip(chosen, rejected, strict=True)]
    assert summary["hallucination_proxy"] == pytest.approx(sum(proxies) / 6)
    means = [sum(a) / len(a) < sum(b) / len(b) for a, b in zip(chosen, rejected, strict=True)]
    assert summary["hallucination_proxy_mean"] == pytest.approx(sum(means) / 6)
    assert summary["chosen_log_prob"] == pytest.approx(sum(map(sum, chosen)) / 6, rel=1e-4)
    tokens = [value for one in forget for value in one]
    assert summary["forget_log_prob"] == pytest.approx(sum(tokens) / len(tokens), rel=1e-4)
    kept = [value for one in retain for value in one]
    assert summary["retain_loss"] == pytest.approx(-sum(kept) / len(kept), rel=1e-4)
    seen = [value for one in chosen for value in one]
    assert summary["ppl_chosen"] == pytest.approx(math.exp(-sum(seen) / len(seen)), rel=1e-4)

    def least(values: list[float]) -> float:
        lowest = sorted(values)[: max(1, int(0.2 * len(values)))]
        return sum(lowest) / len(lowest)

    pairs = [(least(a) > least(b)) for a in forget for b in rejected]
    assert summary["mia_min_k"] == pytest.approx(sum(pairs) / len(pairs))
    assert summary["mia_min_k"] > 0.9, "what was learned is known"
    assert summary["mia_min_k_reversed"] == pytest.approx(1 - summary["mia_min_k"])


def test_the_membership_attack_has_the_sets_that_are_named(evaluation: dict[str, Any]) -> None:
    turned = PreferencesEvaluator(members="test.rejected", nonmembers="forget.rejected", aspects=[])
    found = turned.evaluate(trained(), Data())
    assert found["summary"]["mia_min_k"] == pytest.approx(evaluation["summary"]["mia_min_k_reversed"])
    assert found["comparability"]["mia"] == {
        "members": "test.rejected",
        "nonmembers": "forget.rejected",
        "share": 0.2,
    }
    assert not {"asr_answer", "win_rate", "hallucination_rate"} & found["summary"].keys()


def test_distance_divergence_and_margin_from_the_start() -> None:
    evaluator = PreferencesEvaluator(aspects=[])
    asked = []

    def load(seed: int) -> CausalLM:
        asked.append(seed)
        return trained(seed)

    itself = evaluator.with_start(lambda: load(0))
    assert evaluator.start is None and itself.with_start(lambda: load(9)) is itself and asked == [0]
    same = itself.evaluate(trained(), Data())["summary"]
    assert same["distance_from_start"] == same["kl_from_start"] == same["preference_margin"] == 0.0
    moved = evaluator.with_start(lambda: load(1)).evaluate(trained(), Data())["summary"]
    ours, others = (torch.cat([p.flatten() for p in trained(seed).parameters()]).double() for seed in (0, 1))
    assert moved["distance_from_start"] == pytest.approx((ours - others).norm().item())
    divergences, margins = [], []
    for row in Data().evaluation_sets["test"]:
        before, after = Data().encode(row.prompt, row.chosen)
        logits = []
        for seed in (0, 1):
            network = trained(seed).network.eval()
            with torch.no_grad():
                logits.append(
                    network(input_ids=torch.tensor([before + after])).logits[0].double().log_softmax(-1)
                )
            network.train()
        p, q = (values[len(before) - 1 : -1] for values in logits)
        divergences += (p.exp() * (p - q)).sum(-1).tolist()
        gained = [
            sum(log_probs(trained(0), row.prompt, text)) - sum(log_probs(trained(1), row.prompt, text))
            for text in (row.chosen, row.rejected)
        ]
        margins.append(0.1 * (gained[0] - gained[1]))
    assert moved["kl_from_start"] == pytest.approx(sum(divergences) / len(divergences), rel=1e-4)
    assert moved["preference_margin"] == pytest.approx(sum(margins) / 6, rel=1e-3, abs=1e-5)
    assert moved["margin_accuracy"] == pytest.approx(sum(margin > 0 for margin in margins) / 6)


def test_unmarked_prompts_all_count_and_have_no_safety_scores() -> None:
    found = PreferencesEvaluator(aspects=["answer"]).evaluate(trained(), Data(marked=False))
    texts = found["per_sample"]["test"]["generation"]
    assert found["summary"]["asr_keyword"] == pytest.approx(keyword_asr(texts))
    assert None not in found["per_sample"]["test"]["answer"]
    assert not {"safety", "over_refusal"} & found["summary"].keys()


def test_rewards_are_the_user_s_the_data_s_or_wording(evaluation: dict[str, Any]) -> None:
    assert evaluation["comparability"]["reward"] == "length_reward"
    own = PreferencesEvaluator(aspects=[]).evaluate(trained(), Data(reward=length_reward))
    assert own["comparability"]["reward"] == "the data's own"
    assert own["summary"]["reward"] == evaluation["summary"]["reward"]
    neither = PreferencesEvaluator(aspects=[]).evaluate(trained(), Data())
    assert neither["comparability"]["reward"] == "word overlap with chosen less rejected"
    test = neither["per_sample"]["test"]
    for row, text, value in zip(
        Data().evaluation_sets["test"], test["generation"], test["reward"], strict=True
    ):
        assert value == pytest.approx(trigram_cosine(text, row.chosen) - trigram_cosine(text, row.rejected))


def test_the_reference_perplexity_is_another_model_s(evaluation: dict[str, Any], tmp_path: Any) -> None:
    trained(1).save(tmp_path / "scorer", Data().tokenizer)
    found = PreferencesEvaluator(aspects=[], scorer=str(tmp_path / "scorer")).evaluate(trained(), Data())
    assert found["comparability"]["scorer"].endswith("scorer")
    assert found["summary"]["ppl_reference"] > 0 and "ppl_reference" not in evaluation["summary"]
    assert found["summary"]["ppl_reference"] != pytest.approx(found["summary"]["ppl_own"], rel=1e-3)
    with pytest.raises(DataNotFoundError, match="`scorer` must be a causal language model that is on disk"):
        PreferencesEvaluator(scorer=str(tmp_path / "nothing")).evaluate(trained(), Data())


def test_a_judge_that_raises_is_asked_again_then_passed_over_and_counted() -> None:
    calls = []

    def judge(case: Case) -> float:
        calls.append(case)
        if "red" in case.prompt:
            raise TimeoutError("no answer")
        return 1.0

    evaluator = PreferencesEvaluator(judge=judge, retries=1)
    with pytest.warns(UnlearnKitWarning, match="TimeoutError: no answer"):
        found = evaluator.evaluate(trained(), Data())
    test, summary = found["per_sample"]["test"], found["summary"]
    assert test["answer"] == [None, None, 1.0, None, 1.0, None], "harmless prompts are no attacks"
    assert test["hallucination"] == [None, 1.0, None, 1.0, None, 1.0]
    assert test["preference"] == [None, 0.5, 0.5, 0.5, 0.5, 0.5], "the first always wins: both orders draw"
    # Row 0 is asked about three attacks and two orders.
    assert summary["judge_skipped"] == 5 == test["judge_skipped"][0] and summary["asr_answer"] == 1.0
    assert len(found["judge_errors"]) == 5 and "TimeoutError" in found["judge_errors"][0]
    assert sum("red" in case.prompt for case in calls) == 10


def test_a_judge_that_never_answers_leaves_no_number_but_the_rest() -> None:
    def broken(case: Case) -> float:
        raise ConnectionError

    with pytest.warns(UnlearnKitWarning):
        summary = PreferencesEvaluator(judge=broken, retries=0).evaluate(trained(), Data())["summary"]
    for name in ("asr_answer", "win_rate", "win_rate_length_controlled", "hallucination_rate"):
        assert summary[name] is None
    assert summary["judge_skipped"] == 3 * 3 + 3 + 12 and summary["asr_keyword"] is not None


@pytest.mark.parametrize(
    ("reward", "error", "words"),
    [
        (
            lambda prompts, responses: [math.nan] * len(responses),
            NonFiniteError,
            "must return finite numbers",
        ),
        (lambda prompts, responses: [1.0], MismatchError, "one value for each of the 6 responses. Found 1"),
    ],
)
def test_a_reward_that_is_wrong(reward: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        PreferencesEvaluator(reward=reward).evaluate(trained(), Data())


def test_an_encoder_that_is_not_there_is_replaced_by_name_and_a_callable_is_used() -> None:
    with pytest.warns(UnlearnKitWarning, match="'character trigrams' takes its place"):
        found = PreferencesEvaluator(aspects=[], encoder="nobody/nothing").evaluate(trained(), Data())
    described = found["comparability"]["coherence"]
    assert (described["asked"], described["used"]) == ("nobody/nothing", "character trigrams") and described[
        "why"
    ]

    def half(pairs: Any) -> list[float]:
        return [0.5] * len(pairs)

    found = PreferencesEvaluator(aspects=[], encoder=half).evaluate(trained(), Data())
    assert found["summary"]["coherence"] == 0.5 and found["comparability"]["coherence"]["used"].endswith(
        "half"
    )


def test_the_result_is_plain_reads_back_and_can_be_redone(evaluation: dict[str, Any], tmp_path: Any) -> None:
    write(evaluation, tmp_path / "evaluation.json")
    again = read(tmp_path / "evaluation.json")
    assert again == evaluation
    json.dumps(evaluation, allow_nan=False)
    assert evaluation["higher_is_better"].keys() == evaluation["summary"].keys() <= DEFINITIONS.keys()
    assert summarise(again["per_sample"]) == pytest.approx(evaluation["summary"])
    facts = evaluation["comparability"]
    assert facts["n"] == {"test": 6, "forget": 5, "retain": 5} and facts["split_hash"] == Data().split.hash
    assert facts["refusal_markers"] == {"markers": list(REFUSAL_MARKERS), "exact": False}


def test_a_model_that_diverged_is_measured_not_refused() -> None:
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=96)
    model.materialize(Data().tokenizer)
    with torch.no_grad():
        model.network.model.norm.weight.fill_(float("nan"))
    summary = PreferencesEvaluator().evaluate(model, Data())["summary"]
    assert (
        summary["forget_log_prob"] is None and summary["mia_min_k"] is None and summary["ppl_chosen"] is None
    )
    assert summary["non_finite"] == 16 and summary["hallucination_proxy"] == 1.0


def test_a_reference_must_be_comparable(evaluation: dict[str, Any]) -> None:
    evaluator = PreferencesEvaluator(aspects=[])
    assert evaluator.with_reference(evaluation, evaluation)["summary"] == evaluation["summary"]
    fewer = PreferencesEvaluator(rows=2, aspects=[]).evaluate(trained(), Data())
    assert set(fewer["comparability"]["n"].values()) == {2}
    with pytest.raises(MismatchError, match=r"the same n\['test'\] as this evaluation, 6. Found 2"):
        evaluator.with_reference(evaluation, fewer)
    other = evaluation | {"comparability": evaluation["comparability"] | {"split_hash": "another"}}
    with pytest.raises(MismatchError, match="same split_hash"):
        evaluator.with_reference(evaluation, other)


def test_sets_that_are_missing() -> None:
    data = Data()
    data.evaluation_sets = {"test": data.evaluation_sets["test"], "forget": []}
    with pytest.raises(DataError, match="must hold rows of 'forget'. Found none; there are test, forget"):
        PreferencesEvaluator().evaluate(trained(), data)
    del data.evaluation_sets["forget"]
    with pytest.raises(DataError, match="must hold rows of 'forget'. Found no such set"):
        PreferencesEvaluator().evaluate(trained(), data)


@pytest.mark.parametrize("name", ["rows", "batch_tokens", "max_new_tokens"])
def test_numbers_out_of_range(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` must be at least 1. Found 0"):
        PreferencesEvaluator(**{name: 0})


def test_names_that_do_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="`aspects` must be one of: answer, hallucination"):
        PreferencesEvaluator(aspects=["answers"])  # type: ignore[list-item]
    with pytest.raises(UnknownNameError, match=r"`members` must be one of: .*Did you mean 'forget.rejected'"):
        PreferencesEvaluator(members="forget.reject")
    with pytest.raises(ConfigurationError, match="`nonmembers` must be other texts than `members`"):
        PreferencesEvaluator(nonmembers="forget.rejected")
    with pytest.raises(ConfigurationError, match="`retries` must be at least 0"):
        PreferencesEvaluator(retries=-1)
