"""Evaluation along the path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from torch import nn

from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ArtifactError, ConfigurationError
from unlearnkit.evaluators import Evaluator
from unlearnkit.models import WithCriterion
from unlearnkit.modules import UnlearningModule
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
