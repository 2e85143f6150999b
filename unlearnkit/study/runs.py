"""The runs of a comparison: train target and reference, unlearn with a method, evaluate, write whole folders."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer

from unlearnkit.artifacts import Split, atomic_folder, atomic_write_json, atomic_write_text, read_json
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.errors import ArtifactError, DataError, NonFiniteError
from unlearnkit.evaluators import read
from unlearnkit.modules import FinetuningModule
from unlearnkit.study.method import Method
from unlearnkit.study.progress import RoundProgress, StudyProgress
from unlearnkit.study.settings import Setting

PATH_EVALUATION = "path_evaluation.json"
"""The retrained model's evaluation on the rows that paths are evaluated on, in its folder: paths have a gap by it."""

EVALUATION_COST = 25.0
"""What one full evaluation counts for in the progress bar, in rounds."""


def finished(folder: Path, key: str, split: str) -> dict[str, Any] | None:
    """Return the row of a run completed with the same key on the same split; a half-written one is undone.

    Args:
        folder: The run's folder.
        key: Hash of all its options.
        split: Hash of the split that the data give now: the files behind a path may have changed.
    """
    try:
        row = read_json(folder / "results.json")
        same = Split.load(folder / "split.json").hash == split
    except (ArtifactError, DataError):
        return None
    return row if isinstance(row, dict) and row.get("key") == key and same else None


def quiet_trainer(setting: Setting, callbacks: list[Callback], **arguments: Any) -> Trainer:
    """Return a trainer that writes nothing: the comparison writes whole folders itself."""
    return Trainer(
        accelerator=setting.config.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **arguments,
    )


def train(
    setting: Setting,
    role: str,
    seed: int,
    folder: Path,
    key: str,
    progress: StudyProgress,
    reference: dict[str, Any] | None,
    tokenizer: str | None,
) -> dict[str, Any]:
    """Train the target (role ``target``, on everything) or the reference (``retrained``, on the retain data).

    Returns:
        The run's row, as in ``results.json``.
    """
    built = setting.build(seed, "full" if role == "target" else "retain", tokenizer)
    recipe = setting.finetune
    module = FinetuningModule(built.model, warmup_steps=recipe.warmup_steps, seed=seed)
    module.optimizer = recipe.build
    built.data.setup("fit")
    steps = recipe.epochs * len(built.data.train_dataloader())
    callbacks: list[Callback] = [RoundProgress(progress, steps, cost=10.0 * recipe.epochs / steps)]
    trainer = quiet_trainer(
        setting, callbacks, max_epochs=recipe.epochs, gradient_clip_val=recipe.clip, limit_val_batches=0
    )
    started = time.perf_counter()
    trainer.fit(module, datamodule=built.data)
    seconds = time.perf_counter() - started
    # The target is where every method's path starts, the reference's level is where paths are compared:
    # both on the rows that the paths are evaluated on.
    evaluator = _path_evaluator(setting, built)
    kept = _path_reference(folder.parent) if role == "target" else None
    start = evaluator.evaluate(built.model, built.data, read(kept) if kept else None)
    if role == "retrained":
        start = evaluator.with_reference(start, start)
    path = [{"round": 0, **start["summary"]}]
    row = {"method": role, "label": role, "role": role, "seconds": seconds, "rounds": trainer.global_step}
    row |= {"seed": seed, "key": key, "path": path}
    files = {PATH_EVALUATION: start} if role == "retrained" else {}
    return _conclude(setting, built, row, folder, progress, reference, files=files)


def unlearn_with(
    setting: Setting,
    method: Method,
    seed: int,
    target: Path,
    folder: Path,
    key: str,
    progress: StudyProgress,
    reference: dict[str, Any] | None,
    home: Path | None = None,
) -> dict[str, Any]:
    """Run one method from the target and evaluate it along its way and at its end.

    Args:
        setting: The comparison.
        method: The method.
        seed: Seed of its draws.
        target: Folder of the run whose model it starts from.
        folder: Folder to write.
        key: Hash of all that decides the result.
        progress: The bar to move on.
        reference: Evaluation of the retrained model.
        home: Folder in which the retrained reference's lies; None takes the target's own.

    Returns:
        The run's row; a run whose loss diverged has the message under ``diverged``, and the numbers
        of its weights before that round.
    """
    options = setting.data_options(method)
    built = setting.build(seed, "pair", str(target / "tokenizer"), model=False, data_options=options)
    built.model = setting.target(target / "model")
    built.evaluator = built.evaluator.with_start(lambda: setting.target(target / "model"))
    module, callbacks = method.build(built.model, seed)
    rounds = method.rounds
    path = EvaluateEvery(
        _path_evaluator(setting, built),
        every=setting.path.every,
        at_start=False,
        reference=_path_reference(home or target.parent),
    )
    callbacks += [path, RoundProgress(progress, rounds)]
    trainer = quiet_trainer(setting, callbacks, max_steps=rounds, limit_val_batches=0)
    row: dict[str, Any] = {
        "method": method.name,
        "label": method.label,
        "role": "method",
        "seed": seed,
        "key": key,
    }
    started = time.perf_counter()
    try:
        trainer.fit(module, datamodule=built.data)
    except NonFiniteError as error:
        row["diverged"] = str(error)
    row["seconds"] = time.perf_counter() - started - path.seconds
    row["rounds"] = trainer.global_step
    row["path"] = path.path
    row["lr_scale"] = module.host.lr_scale
    row["skipped_rounds"] = module.skipped_rounds
    return _conclude(setting, built, row, folder, progress, reference, method)


def _path_evaluator(setting: Setting, built: Any) -> Any:
    """Return the evaluator on some rows of each set only: an evaluator knows which."""
    evaluator = copy.copy(built.evaluator)
    evaluator.rows = setting.path.rows
    return evaluator


def _path_reference(home: Path) -> str | None:
    """Return the file that paths are compared with; None where there is no reference, or an older version kept none."""
    file = home / "retrained" / PATH_EVALUATION
    return str(file) if file.exists() else None


def _conclude(
    setting: Setting,
    built: Any,
    row: dict[str, Any],
    folder: Path,
    progress: StudyProgress,
    reference: dict[str, Any] | None,
    method: Method | None = None,
    files: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate in full, and write the run's folder, with JSON files of its own, whole or not at all."""
    progress.advance(0.0, "evaluating")
    started = time.perf_counter()
    evaluation = built.evaluator.evaluate(built.model, built.data, reference)
    if row["role"] == "retrained":
        evaluation = built.evaluator.with_reference(evaluation, evaluation)
    row["evaluation_seconds"] = time.perf_counter() - started
    row["summary"] = evaluation["summary"]
    row["n"] = evaluation["comparability"]["n"]
    if evaluation.get("failure"):
        row.setdefault("diverged", evaluation["failure"])
    if evaluation.get("confusion_shown"):
        row["confusion"] = evaluation["confusion_shown"]
    row["parameters"] = sum(p.numel() for p in built.model.parameters())
    progress.advance(EVALUATION_COST)
    config = {name: setting.section(name) for name in ("data", "model", "evaluator", "finetune", "path")}
    if method is not None:
        config["method"] = method.content | {"rounds": method.rounds} | setting.data_options(method)
    with atomic_folder(folder) as temporary:
        atomic_write_text(temporary / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        built.data.split.save(temporary / "split.json")
        if hasattr(built.data, "save_tokenizer"):
            built.data.save_tokenizer(temporary / "tokenizer")
        built.model.save(temporary / "model", built.data.traits)
        atomic_write_json(temporary / "evaluation.json", evaluation)
        for name, content in (files or {}).items():
            atomic_write_json(temporary / name, content)
        atomic_write_json(temporary / "results.json", row)
    return row
