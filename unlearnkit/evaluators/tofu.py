"""TOFUEvaluator: TOFU's metrics, fact accuracy and paper 001's three numbers in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.artifacts import plain
from unlearnkit.batches import QARow
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.evaluators.answers import AnsweredRow, EncodedRow, answer_rows, columns, encode_rows
from unlearnkit.evaluators.base import (
    FORMAT,
    AnsweringModel,
    Evaluation,
    Evaluator,
    describe_model,
    describe_run,
    require_comparable,
    tokenizer_hash,
    versions,
)
from unlearnkit.evaluators.ranks import gather, place, share
from unlearnkit.evaluators.tofu_definitions import DEFINITIONS, SETS, higher_is_better
from unlearnkit.evaluators.tofu_summary import MEANS, quality_tests, summarise


class TOFUEvaluator(Evaluator):
    """Evaluate a language model on TOFU (Maini et al. 2024), real or generated.

    All sets go through the model together: answers, paraphrases and perturbed answers in length-bucketed batches,
    then greedy answers to the questions. The definitions of all numbers are in the result.

    Args:
        max_new_tokens: Most tokens of a generation; None takes the longest answer of all evaluation sets
            plus a quarter. TOFU's own code uses 200.
        batch_tokens: Most tokens of a batch when scoring; None takes 1024 on a processor, 16384 elsewhere.
        rows: Rows of each set to evaluate, its first ones; None evaluates all.
        sets: Which evaluation sets, of ``forget``, ``retain``, ``real_authors``, ``world_facts``; None takes those
            that the data module has.
        truth_ratio: Whether paraphrases and perturbed answers are scored; without them evaluation is several times
            faster, and truth ratios, forget quality and a part of model utility are missing.

    Raises:
        ConfigurationError: A number is below 1.
        UnknownNameError: There is no such set.
    """

    def __init__(
        self,
        max_new_tokens: int | None = None,
        batch_tokens: int | None = None,
        rows: int | None = None,
        sets: list[str] | None = None,
        truth_ratio: bool = True,
    ) -> None:
        for name, value in (
            ("max_new_tokens", max_new_tokens),
            ("batch_tokens", batch_tokens),
            ("rows", rows),
        ):
            if value is not None and value < 1:
                raise ConfigurationError(f"`{name}` must be at least 1. Found {value}. Leave it unset.")
        for name in sets or ():
            if name not in SETS:
                raise UnknownNameError.among("sets", name, SETS)
        self.max_new_tokens = max_new_tokens
        self.batch_tokens = batch_tokens
        self.rows = rows
        self.sets = sets
        self.truth_ratio = truth_ratio

    def evaluate(
        self, model: AnsweringModel, datamodule: Any, reference: Evaluation | None = None
    ) -> Evaluation:
        """Return the evaluation as one JSON-able dictionary, the same on every rank.

        Args:
            model: Scores and generates (``CausalLM``); it may be in any mode and is left in it.
            datamodule: After ``setup``: ``evaluation_sets``, ``encode``, ``tokenizer``, ``split``.
            reference: Evaluation of the retrained model; forget quality needs it.

        Raises:
            DataError: A set is missing or empty, or a row is longer than the model's context.
            MismatchError: The reference belongs to another split, tokenizer or other forget rows.
        """
        chosen = self._chosen(datamodule.evaluation_sets)
        limit = self._limit(datamodule)
        encoded = {
            name: encode_rows(rows, datamodule.encode, model.context_length, self.truth_ratio)
            for name, rows in chosen.items()
        }
        rank, world = place(model)
        per_sample = self._answer(model, datamodule.tokenizer, encoded, limit, rank, world)
        summary, parts = summarise(per_sample)
        evaluation: Evaluation = {
            "benchmark": "tofu",
            "definitions": DEFINITIONS,
            "comparability": {
                "format": FORMAT,
                "split_hash": datamodule.split.hash,
                "tokenizer_hash": tokenizer_hash(datamodule.tokenizer),
                "max_new_tokens": limit,
                "rows": "all" if self.rows is None else f"the first {self.rows} of each set",
                "n": {name: len(rows) for name, rows in chosen.items()},
                "n_truth_ratio": {
                    name: sum(map(bool, found["perturbed_mean_nll"])) for name, found in per_sample.items()
                },
                "utility_parts": parts,
            },
            "model": describe_model(model),
            "run": describe_run(datamodule, world),
            "versions": versions(),
            "summary": summary,
            "forget_quality_tests": None,
            "per_sample": per_sample,
        }
        return self.with_reference(evaluation, reference)

    def _chosen(self, sets: Mapping[str, Sequence[QARow]]) -> dict[str, Sequence[QARow]]:
        names = self.sets or [name for name in SETS if name in sets]
        for name in names:
            if not sets.get(name):
                raise DataError(
                    f"`evaluation_sets` must hold rows of {name!r}. Found {'none' if name in sets else 'no such set'}; "
                    f"there are {', '.join(sets) or 'no sets'}. Leave it out of `sets`, or add its rows."
                )
        return {name: sets[name][: self.rows] for name in names}

    def _limit(self, datamodule: Any) -> int:
        """Return the most new tokens: of the data alone, so that it is the same for any choice of rows and sets."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        rows = [row for name in SETS for row in datamodule.evaluation_sets.get(name, ())]
        return math.ceil(1.25 * max(len(datamodule.encode(row.question, row.answer)[1]) for row in rows))

    def _answer(
        self,
        model: AnsweringModel,
        tokenizer: Any,
        encoded: Mapping[str, list[EncodedRow]],
        limit: int,
        rank: int,
        world: int,
    ) -> dict[str, dict[str, list[Any]]]:
        """Return the columns of each set, all sets answered in one pass."""
        answered: list[AnsweredRow] = gather(
            answer_rows(
                model,
                share([row for rows in encoded.values() for row in rows], rank, world),
                decode=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)).strip(),
                eos_id=int(tokenizer.eos_token_id),
                max_new_tokens=limit,
                batch_tokens=self.batch_tokens or _fitting(model),
            ),
            world,
        )
        found, start = {}, 0
        for name, rows in encoded.items():
            found[name] = columns(answered[start : start + len(rows)])
            start += len(rows)
        return found

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation with forget quality, None where it cannot be had; nothing is run again."""
        forget = evaluation["per_sample"].get("forget")
        tests: dict[str, dict[str, Any]] = {}
        if reference is not None and forget is not None:
            require_comparable(evaluation, reference, sets=("forget",))
            if evaluation["comparability"]["n_truth_ratio"]["forget"] > 1:
                tests = quality_tests(forget, reference["per_sample"]["forget"])
        summary = dict(evaluation["summary"])
        for mean, suffix in MEANS.items():
            summary[f"forget_quality{suffix}"] = tests[mean]["p"] if tests else None
            summary[f"forget_quality{suffix}_log10"] = tests[mean]["log10_p"] if tests else None
        added = {"summary": summary, "forget_quality_tests": tests or None}
        added["higher_is_better"] = {name: higher_is_better(name) for name in summary}
        # What is in memory equals what a reader of the file gets: null where a number is not finite.
        result: Evaluation = plain(evaluation | added)
        return result


def _fitting(model: AnsweringModel) -> int:
    """Return the tokens of a batch that suit a processor's caches, or keep an accelerator busy."""
    return 1024 if next(model.parameters()).device.type == "cpu" else 16384
