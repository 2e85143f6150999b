"""downstream: paper 002's five downstream tasks on exported models, run by lm-evaluation-harness."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.console import Console

from unlearnkit.artifacts import atomic_write_json, atomic_write_text
from unlearnkit.errors import (
    ConfigurationError,
    DataNotFoundError,
    MismatchError,
    MissingDependencyError,
    UnknownNameError,
)
from unlearnkit.evaluators.base import versions
from unlearnkit.study.environment import hardware
from unlearnkit.study.grid import Cell, Column, Grid
from unlearnkit.study.table import show

INITIAL = "Initial"
"""Name of the row of the model before unlearning, as in paper 002."""

Evaluate = Callable[..., Any]
"""Runs tasks on a model, with the signature of ``lm_eval.simple_evaluate``."""


@dataclass(frozen=True)
class Task:
    """A column of paper 002's table.

    Attributes:
        name: As in the paper.
        harness: The harness's task.
        metric: Its number that is reported, as the harness names it: metric, filter.
    """

    name: str
    harness: str
    metric: str


TASKS = {
    "arc-c": Task("ARC-c", "arc_challenge", "acc_norm,none"),
    "mmlu": Task("MMLU", "mmlu", "acc,none"),
    "truthfulqa": Task("TruthfulQA", "truthfulqa_mc1", "acc,none"),
    "triviaqa": Task("TriviaQA", "triviaqa", "exact_match,remove_whitespace"),
    "gsm8k": Task("GSM8K", "gsm8k", "exact_match,flexible-extract"),
}
"""Paper 002's tasks, and of each the number that DualOptim's code for real people reports."""


def downstream_parser() -> ArgumentParser:
    """Return the parser of ``unlearnkit downstream``."""
    parser = ArgumentParser(
        prog="unlearnkit downstream",
        exit_on_error=False,
        description="Run ARC-c, MMLU, TruthfulQA, TriviaQA and GSM8K on exported models by lm-evaluation-harness.",
    )
    parser.add_argument("--model", type=str | list[str], required=True, help="folder of `export`, or several")
    parser.add_argument(
        "--initial",
        type=str | None,
        default=None,
        help="the model before unlearning: folder or name on the hub",
    )
    parser.add_argument("--tasks", type=list[str], default=list(TASKS), help="some of " + ", ".join(TASKS))
    parser.add_argument(
        "--few_shot", type=int | None, default=None, help="examples in prompts; default: each task's own"
    )
    parser.add_argument("--limit", type=int | None, default=None, help="questions of each task; default: all")
    parser.add_argument("--batch_size", type=int | str, default="auto", help="sequences at a time, or auto")
    parser.add_argument("--dtype", type=str, default="auto", help="type of the weights; auto: as saved")
    parser.add_argument("--device", type=str | None, default=None, help="default: the harness's choice")
    parser.add_argument("--out", type=str, default="runs/downstream", help="folder of the results")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``unlearnkit downstream``."""
    given = list(sys.argv[2:] if arguments is None else arguments)
    options = downstream_parser().parse_args(given).as_dict()
    results = downstream(**options, command=shlex.join(["unlearnkit", "downstream", *given]))
    show([downstream_table(results)], Console())
    return 0


def downstream(
    model: str | Sequence[str],
    *,
    initial: str | None = None,
    tasks: Sequence[str] = tuple(TASKS),
    few_shot: int | None = None,
    limit: int | None = None,
    batch_size: int | str = "auto",
    dtype: str = "auto",
    device: str | None = None,
    out: str | Path = "runs/downstream",
    command: str = "unlearnkit.study.downstream",
    evaluate: Evaluate | None = None,
) -> dict[str, Any]:
    """Run downstream tasks on exported models and on the one before unlearning; write and return the results.

    The harness fetches the tasks' data from the hub. Results are written after each model.

    Args:
        model: Folder of ``unlearnkit export``, or several; a row has its folder's name.
        initial: The model before unlearning, a folder or a name on the hub: row ``Initial``.
        tasks: Some of ``TASKS``.
        few_shot: Examples in each prompt; None takes each task's own number (5 for GSM8K, 0 for the others).
        limit: Questions of each task; None takes all. Numbers of fewer are for trying out.
        batch_size: Sequences at a time, or ``auto``.
        dtype: Type of the weights; ``auto`` takes that of the folder.
        device: Where to; None leaves it to the harness.
        out: Folder for ``results.json`` and ``downstream.md``.
        command: What the results say they were made by.
        evaluate: What runs the tasks; None takes ``lm_eval.simple_evaluate``.

    Raises:
        UnknownNameError: There is no such task.
        ConfigurationError: A number is out of its range, a list is empty, or two rows would have one name.
        DataNotFoundError: A folder is not there, or holds no exported model.
        MissingDependencyError: lm-eval is not installed.
        MismatchError: The harness did not report a task's number.
    """
    _require_choice(tasks, few_shot, limit)
    places = _rows([model] if isinstance(model, str) else list(model), initial)
    run = evaluate or _harness()
    folder = Path(out)
    results: dict[str, Any] = {
        "format": 1,
        "command": command,
        "date": date.today().isoformat(),
        "hardware": hardware(),
        "versions": versions() | {"lm-eval": _version()},
        "settings": {"few_shot": few_shot, "limit": limit, "batch_size": batch_size, "dtype": dtype},
        "tasks": {name: {"task": TASKS[name].harness, "metric": TASKS[name].metric} for name in tasks},
        "rows": [],
    }
    for name, place in places.items():
        found = run(
            model="hf",
            # The start token is DualOptim's choice; a dictionary, because a path may hold the textual form's commas.
            model_args={"pretrained": place, "dtype": dtype, "add_bos_token": True},
            tasks=[TASKS[task].harness for task in tasks],
            num_fewshot=few_shot,
            batch_size=batch_size,
            device=device,
            limit=limit,
            log_samples=False,
        )
        results["rows"].append({"model": name, "place": place, **_scores(found, tasks)})
        atomic_write_json(folder / "results.json", results)
        atomic_write_text(folder / "downstream.md", downstream_table(results).markdown())
    return results


def downstream_table(results: dict[str, Any]) -> Grid:
    """Return the table in paper 002's form: one row a model, per cent, AVG over the tasks that were run."""
    names = list(results["tasks"])
    body = []
    for row in results["rows"]:
        values = [*(row["scores"][name] for name in names), row["average"]]
        body.append((Cell.text(row["model"]), *(Cell.text(f"{100 * value:.2f}") for value in values)))
    limit, shots = results["settings"]["limit"], results["settings"]["few_shot"]
    note = "; ".join(f"{TASKS[name].name}: {TASKS[name].harness} ({TASKS[name].metric})" for name in names)
    asked = (
        "all questions" if limit is None else f"the first {limit} questions of each task, for trying out only"
    )
    prompts = "each task's own number of examples" if shots is None else f"{shots} examples"
    heads = [*(TASKS[name].name for name in names), "AVG"]
    return Grid(
        "Downstream tasks",
        (Column("model", ("model",)), *(Column(f"{head} ↑", (head, "↑")) for head in heads)),
        tuple(body),
        (f"Per cent; {note}; {asked}, {prompts}; lm-eval {results['versions']['lm-eval']}.",),
    )


def _require_choice(tasks: Sequence[str], few_shot: int | None, limit: int | None) -> None:
    for name in tasks:
        if name not in TASKS:
            raise UnknownNameError.among("tasks", name, TASKS)
    if not tasks or len(set(tasks)) < len(tasks):
        raise ConfigurationError(
            f"`tasks` must hold one or more different tasks. Found {list(tasks)}. Use e.g. --tasks=[arc-c,mmlu]."
        )
    for name, value, least in (("few_shot", few_shot, 0), ("limit", limit, 1)):
        if value is not None and value < least:
            raise ConfigurationError(
                f"`{name}` must be {least} or above. Found {value}. Leave it unset for the task's own."
            )


def _rows(models: list[str], initial: str | None) -> dict[str, str]:
    """Return each model's place by the name of its row.

    Raises:
        ConfigurationError: There is none, or two have one name.
        DataNotFoundError: A folder holds no exported model.
    """
    found: dict[str, str] = {} if initial is None else {INITIAL: initial}
    for model in models:
        if not (Path(model) / "config.json").is_file():
            raise DataNotFoundError(
                f"`model` must be a folder that `unlearnkit export` wrote. Found {model!r}, where no config.json is. "
                "Export the run first: unlearnkit export RUN OUT."
            )
        name = Path(model).resolve().name
        if name in found:
            raise ConfigurationError(
                f"`model` must be folders of different names, none of them {INITIAL}: rows have these names. Found "
                f"{name!r} twice. Rename one."
            )
        found[name] = model
    if not models:
        raise ConfigurationError("`model` must name at least one folder. Found none. Use --model=FOLDER.")
    return found


def _scores(found: Any, tasks: Sequence[str]) -> dict[str, Any]:
    """Take each task's number out of what the harness returned.

    Raises:
        MismatchError: One is missing.
    """
    scores: dict[str, float] = {}
    for name in tasks:
        task = TASKS[name]
        reported = (found or {}).get("results", {}).get(task.harness, {})
        if task.metric not in reported:
            raise MismatchError(
                f"`lm-eval` must report {task.metric!r} of {task.harness!r}. Found {', '.join(reported) or 'nothing'}. "
                "Use a version in the bounds of the extra: pip install 'unlearnkit[downstream]'."
            )
        scores[name] = float(reported[task.metric])
    kept = {key: found[key] for key in ("results", "versions", "n-shot", "n-samples") if key in found}
    return {"scores": scores, "average": sum(scores.values()) / len(scores), "harness": kept}


def _harness() -> Evaluate:
    try:
        from lm_eval import simple_evaluate
    except ImportError as error:
        raise MissingDependencyError.extra("lm-eval", "downstream") from error
    found: Evaluate = simple_evaluate
    return found


def _version() -> str:
    try:
        return version("lm-eval")
    except PackageNotFoundError:
        return "not installed"
