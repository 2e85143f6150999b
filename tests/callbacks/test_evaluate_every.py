"""Evaluation along the path."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from tests.callbacks.runs import Points, TwoLosses, flat, module_for
from tests.callbacks.runs import fit as fit_module
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ArtifactError, ConfigurationError, UnknownNameError
from unlearnkit.evaluators import Evaluator
from unlearnkit.models import WithCriterion
from unlearnkit.modules import UnlearningModule
from unlearnkit.strategies import ForgetOnly
from unlearnkit.testing import toy_dataset


class WeightNorm(Evaluator):
    """An evaluator of one number."""

    def evaluate(self, model: nn.Module, datamodule: Any, reference: Any = None) -> dict[str, Any]:
        summary = {"norm": sum(float(p.norm()) for p in model.parameters()), "missing": None}
        return {"summary": summary, "reference": reference}


def fit(callback: EvaluateEvery, rounds: int, tmp_path: Path, **options: Any) -> Trainer:
    module = UnlearningModule(WithCriterion(nn.Linear(5, 3)))
    trainer = Trainer(
        max_steps=rounds, accelerator="cpu", callbacks=[callback], enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, **options,
    )  # fmt: skip
    trainer.fit(module, datamodule=PairedDatasets(toy_dataset(8), toy_dataset(24, seed=1), batch_size=4))
    return trainer


@pytest.mark.parametrize(("at_start", "rounds"), [(True, [0, 2, 4, 5]), (False, [2, 4, 5])])
def test_start_every_n_rounds_and_the_last(tmp_path: Path, at_start: bool, rounds: list[int]) -> None:
    callback = EvaluateEvery(WeightNorm(), every=2, at_start=at_start)
    fit(callback, 5, tmp_path, logger=False, enable_checkpointing=False)
    assert [point["round"] for point in callback.path] == rounds
    assert len({point["norm"] for point in callback.path}) == len(rounds)


def test_the_last_round_is_not_evaluated_twice(tmp_path: Path) -> None:
    callback = EvaluateEvery(WeightNorm(), every=2)
    fit(callback, 4, tmp_path, logger=False, enable_checkpointing=False)
    assert [point["round"] for point in callback.path] == [0, 2, 4]


def test_without_a_number_it_waits_for_test(tmp_path: Path) -> None:
    callback = EvaluateEvery(WeightNorm())
    fit(callback, 3, tmp_path, logger=False, enable_checkpointing=False)
    assert callback.path == []


def test_two_of_them_share_a_trainer(tmp_path: Path) -> None:
    path = EvaluateEvery(WeightNorm(), every=1)
    module = UnlearningModule(WithCriterion(nn.Linear(5, 3)))
    trainer = Trainer(
        max_steps=1, accelerator="cpu", callbacks=[EvaluateEvery(WeightNorm()), path], logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, datamodule=PairedDatasets(toy_dataset(8), toy_dataset(24, seed=1)))
    assert [point["round"] for point in path.path] == [0, 1]


def test_the_path_survives_a_checkpoint() -> None:
    first, second = EvaluateEvery(WeightNorm()), EvaluateEvery(WeightNorm())
    first.path, first.seconds = [{"round": 0, "norm": 1.0}], 2.0
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert (second.path, second.seconds) == (first.path, first.seconds)


def test_test_writes_the_full_evaluation(tmp_path: Path) -> None:
    module = UnlearningModule(WithCriterion(nn.Linear(5, 3)))
    trainer = Trainer(
        accelerator="cpu", callbacks=[EvaluateEvery(WeightNorm())], logger=False, enable_progress_bar=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.test(module, datamodule=PairedDatasets(toy_dataset(8), toy_dataset(24, seed=1)), verbose=False)
    assert json.loads((tmp_path / "results.json").read_text())["summary"]["norm"] > 0


def test_test_compares_with_the_retrained_model(tmp_path: Path) -> None:
    retrained = {"comparability": {"format": 1}, "summary": {"norm": 2.0}}
    (tmp_path / "retrained.json").write_text(json.dumps(retrained))
    callback = EvaluateEvery(WeightNorm(), reference=str(tmp_path / "retrained.json"))
    trainer = Trainer(
        accelerator="cpu", callbacks=[callback], logger=False, enable_progress_bar=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    module = UnlearningModule(WithCriterion(nn.Linear(5, 3)))
    trainer.test(module, datamodule=PairedDatasets(toy_dataset(8), toy_dataset(24, seed=1)), verbose=False)
    assert json.loads((tmp_path / "results.json").read_text())["reference"] == retrained
    with pytest.raises(ArtifactError, match="nowhere.json"):
        EvaluateEvery(WeightNorm(), reference="nowhere.json")


def test_every_must_be_a_number_of_rounds() -> None:
    with pytest.raises(ConfigurationError, match="`every` must be at least 1 round"):
        EvaluateEvery(WeightNorm(), every=0)


SCORE = {"forget_loss": 0.2, "retain_loss": -1.0}


def scored(points: list[dict[str, Any]]) -> dict[int, float]:
    return {point["round"]: point["score"] for point in points}


def test_the_composite_is_the_weighted_sum(tmp_path: Path) -> None:
    callback = EvaluateEvery(TwoLosses(), every=2, score=SCORE)
    trainer = fit_module(
        module_for(), 4, [callback], tmp_path, logger=CSVLogger(tmp_path), log_every_n_steps=1
    )
    for point in callback.path:
        assert point["score"] == pytest.approx(0.2 * point["forget_loss"] - point["retain_loss"], rel=1e-12)
    assert float(trainer.callback_metrics["eval/score"]) == callback.path[-1]["score"]
    assert float(trainer.callback_metrics["eval/forget_loss"]) == callback.path[-1]["forget_loss"]
    assert "eval/missing" not in trainer.callback_metrics
    assert "eval/score" in Path(trainer.logger.log_dir, "metrics.csv").read_text()


def best_of(folder: Path, **options: Any) -> ModelCheckpoint:
    given = {
        "monitor": "eval/score",
        "mode": "max",
        "every_n_train_steps": 2,
        "save_top_k": 1,
        "filename": "{step}",
    }
    return ModelCheckpoint(folder, **(given | options))


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual")
def test_the_best_checkpoint_holds_the_weights_that_had_the_best_score(tmp_path: Path) -> None:
    points, evaluate, best = Points(), EvaluateEvery(TwoLosses(), every=2, score=SCORE), best_of(tmp_path)
    module = module_for(0.3, ForgetOnly())
    fit_module(module, 40, [best, evaluate, points], tmp_path)
    scores = {round_: score for round_, score in scored(evaluate.path).items() if round_}
    first = max(scores, key=scores.__getitem__)
    assert 2 < first < 40, "else a checkpoint of the last round would pass as well"
    assert float(best.best_model_score) == scores[first]
    assert best.best_model_path == str(tmp_path / f"step={first}.ckpt")
    assert [path.name for path in tmp_path.glob("*.ckpt")] == [f"step={first}.ckpt"]
    saved = torch.load(best.best_model_path, weights_only=True)
    weights = torch.cat([saved["state_dict"][f"model.layer.{n}"].flatten() for n in ("weight", "bias")])
    assert torch.equal(weights, points.points[first])
    assert not torch.equal(weights, points.points[first - 1])
    assert [v["path"][-1]["round"] for k, v in saved["callbacks"].items() if "EvaluateEvery" in k] == [first]


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual")
@pytest.mark.parametrize("value", [math.nan, None, math.inf])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_collapsed_model_is_never_the_best(tmp_path: Path, mode: str, value: float | None) -> None:
    """Neither as the first one there is, nor after others; and a number that is missing does not stay as it was."""
    collapsed = dict.fromkeys((1, 3, 4), value)
    evaluate = EvaluateEvery(TwoLosses(collapsed), every=2, score=SCORE)
    best = best_of(tmp_path, mode=mode, save_top_k=3)
    trainer = fit_module(module_for(), 8, [best, evaluate], tmp_path)
    assert {r for r, score in scored(evaluate.path).items() if math.isnan(score)} == {2, 6, 8}
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["step=4.ckpt"]
    assert float(best.best_model_score) == scored(evaluate.path)[4]
    assert float(trainer.callback_metrics["eval/score"]) != float(trainer.callback_metrics["eval/score"])
    assert not math.isfinite(trainer.callback_metrics["eval/retain_loss"])


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual")
def test_weights_are_never_saved_under_the_score_of_an_earlier_round(tmp_path: Path) -> None:
    evaluate = EvaluateEvery(TwoLosses(), every=3, score=SCORE)
    fit_module(module_for(), 8, [evaluate, best_of(tmp_path, save_top_k=-1)], tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["step=6.ckpt"]


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual")
def test_a_resumed_run_knows_the_numbers_of_the_last_evaluation(tmp_path: Path) -> None:
    class Seen(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.first = getattr(self, "first", float(trainer.callback_metrics["eval/score"]))

    whole, path = module_for(), EvaluateEvery(TwoLosses(), every=2, score=SCORE)
    fit_module(
        whole, 6, [path, best_of(tmp_path, monitor=None, every_n_train_steps=1, save_top_k=-1)], tmp_path
    )
    resumed, again, seen = module_for(), EvaluateEvery(TwoLosses(), every=2, score=SCORE), Seen()
    fit_module(resumed, 6, [again, seen], tmp_path, ckpt_path=tmp_path / "step=2.ckpt")
    assert seen.first == scored(path.path)[2]
    assert again.path == path.path
    assert torch.equal(flat(resumed), flat(whole))


def test_a_name_that_the_summary_lacks_is_refused_at_the_first_evaluation(tmp_path: Path) -> None:
    callback = EvaluateEvery(TwoLosses(), every=2, score={"retain_los": 1.0})
    with pytest.raises(UnknownNameError, match="`score` must be one of: .*Did you mean 'retain_loss'"):
        fit_module(module_for(), 2, [callback], tmp_path)
    callback = EvaluateEvery(TwoLosses(), every=2, score={"missing": 1.0})
    with pytest.raises(
        ConfigurationError, match="`score` must be made of numbers .* Found 'missing', which is missing"
    ):
        fit_module(module_for(), 2, [callback], tmp_path)


@pytest.mark.parametrize("score", [{}, {"retain_loss": math.nan}])
def test_a_composite_needs_finite_weights(score: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="`score` must give numbers of the summary a finite weight"):
        EvaluateEvery(TwoLosses(), every=1, score=score)


def test_along_the_path_too_the_numbers_compare_with_the_reference(tmp_path: Path) -> None:
    class Distance(TwoLosses):
        def evaluate(self, model, datamodule, reference=None):
            found = super().evaluate(model, datamodule)["summary"]
            wanted = None if reference is None else reference["summary"]["forget_loss"]
            return {"summary": {"distance": None if wanted is None else abs(found["forget_loss"] - wanted)}}

    retrained = tmp_path / "retrained.json"
    retrained.write_text(json.dumps({"comparability": {"format": 1}, "summary": {"forget_loss": 0.5}}))
    callback = EvaluateEvery(Distance(), every=1, reference=str(retrained), score={"distance": -1.0})
    fit_module(module_for(), 1, [callback], tmp_path)
    assert all(point["score"] == -point["distance"] < 0 for point in callback.path)
