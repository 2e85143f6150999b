"""Attacks on a model that knows some rows by heart and others not at all."""

from __future__ import annotations

import copy
import math
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.evaluators.stand_ins import diverged, small_data, trained
from unlearnkit.datamodules import TOFU
from unlearnkit.errors import DataError, MismatchError, UnknownNameError
from unlearnkit.evaluators import TOFUEvaluator, read, write
from unlearnkit.evaluators.tofu_attacks import attack_summary
from unlearnkit.metrics.functional import ATTACKS, privleak

ALL: Any = list(ATTACKS)


def halves() -> Any:
    """Return data whose forget rows the model was trained on, and whose held-out rows it was not."""
    data = small_data()
    rows = [*data.evaluation_sets["forget"], *data.evaluation_sets["retain"]]
    sets = {"forget": rows[::2], "holdout": rows[1::2]}
    return SimpleNamespace(
        evaluation_sets=sets, encode=data.encode, tokenizer=data.tokenizer, split=data.split, seed=data.seed
    )


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    return TOFUEvaluator(sets=["forget"], attacks=ALL).evaluate(trained(), halves())


def untrained() -> Any:
    model = copy.deepcopy(trained())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=torch.Generator().manual_seed(0))
    return model


def test_what_is_known_by_heart_is_told_apart(evaluation: dict[str, Any]) -> None:
    summary = evaluation["summary"]
    assert summary["forget_extraction_strength"] > 0.9
    for attack in ("loss", "zlib", "gradnorm", "min_k", "min_k++"):
        assert summary[f"auc_{attack}"] > 0.9, attack
    assert (summary["auc_reference"], summary["privleak"]) == (None, None)


def test_every_score_equals_a_naive_one(evaluation: dict[str, Any]) -> None:
    data, model = halves(), copy.deepcopy(trained()).eval()
    for name, rows in data.evaluation_sets.items():
        columns = evaluation["attacks"][name]
        assert columns["index"] == [row.index for row in rows]
        for place, row in enumerate(rows[:3]):
            prompt, answer = data.encode(row.question, row.answer)
            model.zero_grad()
            logits = model.network(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
            whole = logits.log_softmax(-1)
            own = whole[range(len(answer)), answer]
            (-own[:-1].mean()).backward()
            whole, own = whole.detach(), own.detach()
            norms = [float(p.grad.norm()) for p in model.parameters()]  # type: ignore[union-attr]
            mean = (whole.exp() * whole).sum(-1)
            sigma = ((whole.exp() * whole**2).sum(-1) - mean**2).clamp_min(1e-6).sqrt()
            most = max(1, int(0.4 * (len(answer) - 1)))
            expected = {
                "loss": -float(own.mean()),
                "zlib": -float(own.mean()) / len(zlib.compress(row.answer.encode())),
                "gradnorm": sum(norms) / len(norms),
                "min_k": -float(own[:-1].sort().values[:most].mean()),
                "min_k++": -float(((own - mean) / sigma)[:-1].sort().values[:most].mean()),
            }
            for attack, value in expected.items():
                # The two ways to the variance of a nearly certain model differ in fp32.
                assert columns[attack][place] == pytest.approx(value, rel=2e-2, abs=1e-3), (attack, place)


def test_forget_rows_are_scored_once(evaluation: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data, asked = halves(), []
    whole = type(trained()).token_statistics_ids

    def counted(self: Any, sequences: Any, batch_tokens: int) -> Any:
        asked.append(len(sequences))
        return whole(self, sequences, batch_tokens)

    monkeypatch.setattr(type(trained()), "token_statistics_ids", counted)
    reused = [name for name in ALL if name not in ("min_k++", "gradnorm")]
    found = TOFUEvaluator(sets=["forget"], attacks=reused).evaluate(trained(), data)
    sizes = {name: len(rows) for name, rows in data.evaluation_sets.items()}
    assert asked == [sizes["holdout"]]
    assert "log_probs" not in found["per_sample"]["forget"]
    for name in ("loss", "zlib", "min_k"):
        for mine, theirs in zip(
            found["attacks"]["forget"][name], evaluation["attacks"]["forget"][name], strict=True
        ):
            assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    TOFUEvaluator(sets=["forget"], attacks=["min_k++"]).evaluate(trained(), data)
    assert asked[1:] == [sizes["forget"], sizes["holdout"]]


def test_areas_and_privleak_against_a_reference(evaluation: dict[str, Any], tmp_path: Any) -> None:
    data, other = halves(), untrained()
    reference = TOFUEvaluator(sets=["forget"], attacks=ALL).evaluate(other, data)
    found = TOFUEvaluator(sets=["forget"], attacks=ALL).with_reference(evaluation, reference)
    differences = [
        mine - theirs
        for name in ("forget", "holdout")
        for mine, theirs in zip(
            evaluation["attacks"][name]["loss"], reference["attacks"][name]["loss"], strict=True
        )
    ]
    labels = [0] * len(data.evaluation_sets["forget"]) + [1] * len(data.evaluation_sets["holdout"])
    assert found["summary"]["auc_reference"] == pytest.approx(roc_auc_score(labels, differences))
    retrained = reference["summary"]["auc_min_k"]
    assert found["summary"]["privleak"] == privleak(evaluation["summary"]["auc_min_k"], retrained)
    assert found["summary"]["privleak"] < -50
    # A written evaluation, read by an evaluator that does not attack itself, gives the same.
    write(evaluation, tmp_path / "evaluation.json")
    again = TOFUEvaluator().with_reference(read(tmp_path / "evaluation.json"), reference)
    assert again["summary"] == found["summary"]


def test_the_reference_itself_leaks_nothing(evaluation: dict[str, Any]) -> None:
    found = TOFUEvaluator(attacks=ALL).with_reference(evaluation, evaluation)["summary"]
    assert (found["privleak"], found["auc_reference"]) == (0.0, 0.5)


def test_the_result_names_who_was_held_out() -> None:
    data = TOFU(authors=10, questions=2, vocab_size=400, holdout_authors=2)
    data.setup()
    model = type(trained())(hidden_size=16, layers=1, heads=2, max_length=96)
    model.materialize(data.tokenizer)
    found = TOFUEvaluator(sets=["forget"], attacks=["min_k"]).evaluate(model, data)
    held_out = found["comparability"]["holdout"]
    assert held_out["index"] == [row.index for row in data.evaluation_sets["holdout"]]
    assert not set(held_out["index"]) & {*data.split.forget, *data.split.retain}
    assert held_out["question"][0] == data.evaluation_sets["holdout"][0].question
    assert found["comparability"]["n"] == {"forget": 2}
    assert list(found["attacks"]["forget"]) == ["index", "question", "loss", "min_k"]
    assert "auc_loss" not in found["summary"]


def test_no_attacks_no_numbers(evaluation: dict[str, Any]) -> None:
    found = TOFUEvaluator(sets=["forget"]).evaluate(trained(), halves())
    assert found["attacks"] is None and found["comparability"]["holdout"] is None
    assert not any(name.startswith(("auc_", "privleak")) for name in found["summary"])
    with pytest.raises(MismatchError, match="must have been attacked as well"):
        TOFUEvaluator().with_reference(evaluation, found)


def test_other_rows_and_a_missing_attack_are_refused(evaluation: dict[str, Any]) -> None:
    other = copy.deepcopy(evaluation)
    other["attacks"]["holdout"]["index"][0] = 999
    with pytest.raises(MismatchError, match="attacked on the same holdout rows"):
        TOFUEvaluator().with_reference(evaluation, other)
    other = copy.deepcopy(evaluation)
    del other["attacks"]["forget"]["min_k"]
    with pytest.raises(MismatchError, match="the attack 'min_k' for privleak"):
        TOFUEvaluator().with_reference(evaluation, other)


def test_nobody_held_out_is_refused() -> None:
    with pytest.raises(DataError, match=r"Found no holdout rows.*holdout_authors"):
        TOFUEvaluator(attacks=["loss"]).evaluate(trained(), small_data())


def test_an_unknown_attack_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"`attacks` must be one of: .*Did you mean 'min_k'"):
        TOFUEvaluator(attacks=["mink"])  # type: ignore[list-item]


def test_a_diverged_model_has_no_area(evaluation: dict[str, Any]) -> None:
    found = TOFUEvaluator(sets=["forget"], attacks=ALL).evaluate(diverged(), halves(), reference=evaluation)
    for name in ("auc_loss", "auc_min_k", "auc_reference", "auc_gradnorm", "privleak"):
        assert found["summary"][name] is None
    assert set(found["attacks"]["forget"]["loss"]) == {None}


def test_ties_count_half_and_nan_leaves_nothing() -> None:
    columns = {"forget": {"index": [1], "loss": [0.1]}, "holdout": {"index": [2, 3], "loss": [0.1, math.nan]}}
    assert attack_summary(columns, ["loss"], None) == {"auc_loss": None}
    columns["holdout"]["loss"] = [0.1, 0.2]
    assert attack_summary(columns, ["loss"], None) == {"auc_loss": 0.75}
