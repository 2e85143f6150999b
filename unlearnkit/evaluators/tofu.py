"""TOFUEvaluator: TOFU's metrics, fact accuracy and paper 001's three numbers in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from unlearnkit.artifacts import plain
from unlearnkit.batches import QARow
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.evaluators.answers import AnsweredRow, Columns, EncodedRow, answer_rows, columns, encode_rows
from unlearnkit.evaluators.base import (
    FORMAT,
    AnsweringModel,
    Evaluation,
    Evaluator,
    describe_model,
    describe_run,
    require_comparable,
    require_same_model,
    tokenizer_hash,
    versions,
)
from unlearnkit.evaluators.ranks import gather, place, share
from unlearnkit.evaluators.tofu_attacks import (
    ATTACKED,
    AttackedModel,
    attack_rows,
    attack_summary,
    require_attacked,
)
from unlearnkit.evaluators.tofu_definitions import DEFINITIONS, SETS, higher_is_better
from unlearnkit.evaluators.tofu_summary import MEANS, quality_tests, summarise
from unlearnkit.evaluators.tofu_texts import text_columns
from unlearnkit.metrics.encoders import find_judge, find_similarity
from unlearnkit.metrics.functional import ATTACKS, Attack


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
        closer_look: Whether closer-look's numbers are added (token entropy, similarity, entailment, model capability,
            forget efficacy) and paper 002's; TFE needs refusals, which the data module may hold.
        similarity: What compares generation and answer: ``character trigrams``, which needs no download, or an encoder
            that is on disk, by its name on the hub (closer-look's is sentence-transformers/paraphrase-MiniLM-L6-v2)
            or its folder.
        entailment: What judges entailment: ``lexical proxy``, which needs no download, or a network that is on disk
            (closer-look's is sileod/deberta-v3-base-tasksource-nli).
        attacks: Membership attacks to run, of ``loss``, ``zlib``, ``reference``, ``gradnorm``, ``min_k``, ``min_k++``,
            against held-out authors (``holdout_authors`` of the data module); privleak comes with ``min_k``.
            ``gradnorm`` takes a backward pass a row. None runs none.

    Raises:
        ConfigurationError: A number is below 1.
        UnknownNameError: There is no such set or attack.
    """

    def __init__(
        self,
        max_new_tokens: int | None = None,
        batch_tokens: int | None = None,
        rows: int | None = None,
        sets: list[str] | None = None,
        truth_ratio: bool = True,
        closer_look: bool = False,
        similarity: str = "character trigrams",
        entailment: str = "lexical proxy",
        attacks: list[Attack] | None = None,
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
        for attack in attacks or ():
            if attack not in ATTACKS:
                raise UnknownNameError.among("attacks", attack, ATTACKS)
        self.max_new_tokens = max_new_tokens
        self.batch_tokens = batch_tokens
        self.rows = rows
        self.sets = sets
        self.truth_ratio = truth_ratio
        self.closer_look = closer_look
        self.similarity = similarity
        self.entailment = entailment
        self.attacks = attacks or []

    def evaluate(
        self, model: AnsweringModel, datamodule: Any, reference: Evaluation | None = None
    ) -> Evaluation:
        """Return the evaluation as one JSON-able dictionary, the same on every rank.

        Args:
            model: Scores and generates (``CausalLM``); it may be in any mode and is left in it.
            datamodule: After ``setup``: ``evaluation_sets``, ``encode``, ``tokenizer``, ``split``.
            reference: Evaluation of the retrained model; forget quality and privleak need it.

        Raises:
            DataError: A set is missing or empty, a row is longer than the model's context, or nobody was held out
                for the attacks.
            MismatchError: The reference belongs to another split, tokenizer or model, or to other rows.
        """
        chosen = self._chosen(datamodule.evaluation_sets)
        if self.attacks:
            require_attacked(datamodule.evaluation_sets)
        limit = self._limit(datamodule)
        encoded = {
            name: encode_rows(rows, datamodule.encode, model.context_length, self.truth_ratio)
            for name, rows in chosen.items()
        }
        rank, world = place(model)
        answered = self._answer(model, datamodule.tokenizer, encoded, limit, rank, world)
        per_sample = {name: columns(rows) for name, rows in answered.items()}
        encoders = self._read_texts(model, datamodule, per_sample, rank, world) if self.closer_look else {}
        attacked = self._attack(model, datamodule, answered, rank, world)
        summary, parts = summarise(per_sample)
        evaluation: Evaluation = {
            "benchmark": getattr(datamodule, "benchmark", "tofu"),
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
                **parts,
                **encoders,
                "attacks": self.attacks,
                "holdout": attacked and {key: attacked["holdout"][key] for key in ("index", "question")},
            },
            "model": describe_model(model),
            "run": describe_run(datamodule, world),
            "versions": versions(),
            "summary": summary,
            "forget_quality_tests": None,
            "attacks": attacked,
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
    ) -> dict[str, list[AnsweredRow]]:
        """Return the answered rows of each set, all sets answered in one pass."""
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
            found[name] = answered[start : start + len(rows)]
            start += len(rows)
        return found

    def _read_texts(
        self, model: AnsweringModel, datamodule: Any, per_sample: dict[str, Columns], rank: int, world: int
    ) -> dict[str, Any]:
        """Add closer-look's columns, and return what compared the texts."""
        device = next(model.parameters()).device
        refusals = datamodule.refusal_texts() if hasattr(datamodule, "refusal_texts") else ()
        similarity, judge = find_similarity(self.similarity, device), find_judge(self.entailment, device)
        people = getattr(datamodule, "benchmark", "tofu") == "people"
        for name, rows in per_sample.items():
            own = {key: share(values, rank, world) for key, values in rows.items()}
            found = text_columns(
                name,
                own,
                tokenize=datamodule.tokenizer.tokenize,
                similarity=similarity.used,
                judge=judge.used,
                generation_first=people or name == "forget",
                refusals=refusals,
            )
            rows |= {key: gather(values, world) for key, values in found.items()}
        return {"similarity": similarity.describe(), "entailment": judge.describe()}

    def _attack(
        self,
        model: AnsweringModel,
        datamodule: Any,
        answered: Mapping[str, Sequence[AnsweredRow]],
        rank: int,
        world: int,
    ) -> dict[str, Columns] | None:
        """Return the columns of forget and held-out rows, None where nobody attacks."""
        if not self.attacks:
            return None
        found = {}
        for name in ATTACKED:
            rows = datamodule.evaluation_sets[name][: self.rows]
            encoded = encode_rows(rows, datamodule.encode, model.context_length, compared=False)
            scores = attack_rows(
                cast(AttackedModel, model),
                share(encoded, rank, world),
                self.attacks,
                self.batch_tokens or _fitting(model),
                int(datamodule.tokenizer.eos_token_id),
                share([row.log_probs for row in answered[name]], rank, world) if name in answered else None,
            )
            whole = gather(scores, world)
            found[name] = {key: [row[key] for row in whole] for key in whole[0]}
        return found

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation with forget quality and privleak, None where they cannot be had.

        Nothing is run again.
        """
        forget, attacked = evaluation["per_sample"].get("forget"), evaluation.get("attacks")
        tests: dict[str, dict[str, Any]] = {}
        if reference is not None and (forget is not None or attacked):
            require_comparable(evaluation, reference, sets=("forget",) if forget is not None else ())
            require_same_model(evaluation, reference)
            if forget is not None and evaluation["comparability"]["n_truth_ratio"]["forget"] > 1:
                tests = quality_tests(forget, reference["per_sample"]["forget"])
        summary = dict(evaluation["summary"])
        for mean, suffix in MEANS.items():
            summary[f"forget_quality{suffix}"] = tests[mean]["p"] if tests else None
            summary[f"forget_quality{suffix}_log10"] = tests[mean]["log10_p"] if tests else None
        if attacked:
            summary |= attack_summary(attacked, evaluation["comparability"]["attacks"], reference)
        added = {"summary": summary, "forget_quality_tests": tests or None}
        added["higher_is_better"] = {name: higher_is_better(name) for name in summary}
        # What is in memory equals what a reader of the file gets: null where a number is not finite.
        result: Evaluation = plain(evaluation | added)
        return result


def _fitting(model: AnsweringModel) -> int:
    """Return the tokens of a batch that suit a processor's caches, or keep an accelerator busy."""
    return 1024 if next(model.parameters()).device.type == "cpu" else 16384
