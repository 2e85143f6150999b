"""PreferencesEvaluator: paper 004's numbers of alignment and of unlearning, and a safety table, in one pass."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

from torch import nn

from unlearnkit.artifacts import content_hash, plain
from unlearnkit.errors import ConfigurationError, UnknownNameError
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
from unlearnkit.evaluators.preferences_definitions import DEFINITIONS, higher_is_better
from unlearnkit.evaluators.preferences_likelihoods import likelihood_columns, response_columns
from unlearnkit.evaluators.preferences_rows import SETS, PreferenceData, PreferenceRow, rows_of, texts_named
from unlearnkit.evaluators.preferences_summary import attacked, summarise
from unlearnkit.evaluators.preferences_texts import OVERLAP, Encoder, overlap_reward, text_columns
from unlearnkit.evaluators.ranks import gather, place, share
from unlearnkit.metrics.encoders import find_similarity
from unlearnkit.metrics.functional import (
    ASPECTS_JUDGED,
    MIN_K,
    REFUSAL_MARKERS,
    Aspect,
    Case,
    Judge,
    Reward,
    parameter_distance,
    rule_verdict,
)
from unlearnkit.metrics.language_scorer import LanguageScorer

RULES = "rules"
"""Name of the judge where the user has none."""


class PreferencesEvaluator(Evaluator):
    """Evaluate a language model on held-out prompts of preference data: how aligned it is, and what it has forgotten.

    Greedy responses to the test prompts are rewarded, judged and searched for refusals; likelihoods say what is
    forgotten and kept. Without arguments nothing is downloaded: the data's own reward (or wording), a judge of rules,
    and character trigrams stand in, and the result names them. The definitions of all numbers are in the result.

    Args:
        reward: Maps prompts and responses to one number each, or one a token; None takes the data module's ``reward``
            where it has one, else how near the wording is to the chosen and not to the rejected response.
        judge: Maps a ``metrics.functional.Case`` to a number in [0, 1]; None goes by rules, with the reward between two
            responses.
        aspects: What the judge is asked, of ``answer``, ``useful``, ``summary``, ``hallucination``, ``preference``;
            None asks all.
        retries: How often it is asked again where it raises, before the row is left out and counted.
        encoder: What compares prompt and response: ``character trigrams``, an encoder on disk by its name or folder
            (where it is not there, the stand-in takes its place and a warning says so), or any callable on pairs.
        scorer: Name or folder of a language model on disk, for reference perplexity; None leaves that out.
        markers: What refusals hold; None takes the library's own list.
        exact: Whether the markers' case and apostrophes count.
        members: Texts that the membership attack takes for known, as ``set.response``.
        nonmembers: Texts that it takes for unknown.
        start: The model that unlearning started at, for margins, divergence and distance; ``compare`` gives it.
        max_new_tokens: Most tokens of a response; None takes the longest of the test set plus a quarter.
        batch_tokens: Most tokens of a batch when scoring; None takes 1024 on a processor, 16384 elsewhere.
        rows: Rows of each set to evaluate, its first ones; None evaluates all.

    Raises:
        ConfigurationError: A number is out of its range, or members and non-members are the same.
        UnknownNameError: There is no such aspect, set or response.
    """

    def __init__(
        self,
        reward: Callable[[Sequence[str], Sequence[str]], Any] | None = None,
        judge: Callable[[Case], float] | None = None,
        aspects: list[Aspect] | None = None,
        retries: int = 2,
        encoder: str | Callable[[Sequence[tuple[str, str]]], Sequence[float]] = "character trigrams",
        scorer: str | None = None,
        markers: list[str] | None = None,
        exact: bool = False,
        members: str = "forget.rejected",
        nonmembers: str = "test.rejected",
        start: nn.Module | None = None,
        max_new_tokens: int | None = None,
        batch_tokens: int | None = None,
        rows: int | None = None,
    ) -> None:
        least = {"retries": (retries, 0), "max_new_tokens": (max_new_tokens, 1)}
        least |= {"batch_tokens": (batch_tokens, 1), "rows": (rows, 1)}
        for name, (value, lowest) in least.items():
            if value is not None and value < lowest:
                raise ConfigurationError(
                    f"`{name}` must be at least {lowest}. Found {value}. Leave it unset."
                )
        for aspect in aspects or ():
            if aspect not in ASPECTS_JUDGED:
                raise UnknownNameError.among("aspects", aspect, ASPECTS_JUDGED)
        self.members = {
            "members": texts_named("members", members),
            "nonmembers": texts_named("nonmembers", nonmembers),
        }
        if members == nonmembers:
            raise ConfigurationError(
                f"`nonmembers` must be other texts than `members`. Found {members!r} for both. Name texts that were "
                "learned, and texts that were not."
            )
        self.reward = reward
        self.judge = judge
        self.aspects: Sequence[Aspect] = ASPECTS_JUDGED if aspects is None else aspects
        self.retries = retries
        self.encoder = encoder
        self.scorer = scorer
        self.markers: Sequence[str] = REFUSAL_MARKERS if markers is None else markers
        self.exact = exact
        self.start = start
        self.max_new_tokens = max_new_tokens
        self.batch_tokens = batch_tokens
        self.rows = rows

    def with_start(self, load: Callable[[], nn.Module]) -> Self:
        """Return the evaluator with the model that a run starts at, where it has none of its own."""
        if self.start is not None:
            return self
        found = copy.copy(self)
        found.start = load()
        return found

    def evaluate(
        self, model: AnsweringModel, datamodule: Any, reference: Evaluation | None = None
    ) -> Evaluation:
        """Return the evaluation as one JSON-able dictionary, the same on every rank.

        Args:
            model: Scores and generates (``CausalLM``); it may be in any mode and is left in it.
            datamodule: After ``setup``: a ``PreferenceData``.
            reference: Evaluation of the retrained model; nothing is computed from it, but it must be comparable.

        Raises:
            DataError: A set is missing or empty, or a row is longer than the model's context.
            DataNotFoundError: The scorer is not on disk.
            NonFiniteError: A reward is NaN or infinite.
            MismatchError: The reward returns another number of values, ``start`` is another model, or the reference
                belongs to another split, tokenizer or model, or to other rows.
        """
        chosen = {name: rows_of(datamodule.evaluation_sets, name, self.rows) for name in SETS}
        limit = self._limit(datamodule)
        reward, reward_name = self._reward(datamodule, chosen["test"])
        judge, judge_name = self._judge(reward)
        encoder, described = self._encoder(model)
        scorer = None if self.scorer is None else LanguageScorer(self.scorer, next(model.parameters()).device)
        rank, world = place(model)
        own = {name: share(rows, rank, world) for name, rows in chosen.items()}
        tokens = self._batch_tokens(model)
        per_sample = likelihood_columns(model, self.start, datamodule, own, self.members, tokens)
        per_sample["test"] |= response_columns(model, datamodule, own["test"], limit, scorer, tokens)
        texts, errors = text_columns(
            own["test"],
            per_sample["test"]["generation"],
            share(attacked([row.kind for row in chosen["test"]]), rank, world),
            reward=reward,
            judge=judge,
            aspects=self.aspects,
            retries=self.retries,
            encoder=encoder,
            markers=self.markers,
            exact=self.exact,
        )
        per_sample["test"] |= texts
        per_sample = {
            name: {key: gather(values, world) for key, values in columns.items()}
            for name, columns in per_sample.items()
        }
        judge_errors = [error for own_errors in gather([errors], world) for error in own_errors]
        summary = summarise(per_sample)
        if self.start is not None:
            summary["distance_from_start"] = parameter_distance(model, self.start)  # type: ignore[arg-type]
        evaluation: Evaluation = {
            "benchmark": getattr(datamodule, "benchmark", "preferences"),
            "definitions": DEFINITIONS,
            "comparability": {
                "format": FORMAT,
                "split_hash": datamodule.split.hash,
                "tokenizer_hash": tokenizer_hash(datamodule.tokenizer),
                "max_new_tokens": limit,
                "rows": "all" if self.rows is None else f"the first {self.rows} of each set",
                "n": {name: len(rows) for name, rows in chosen.items()},
                "row_hashes": {
                    name: content_hash([[row.index, row.prompt] for row in rows])
                    for name, rows in chosen.items()
                },
                "reward": reward_name,
                "judge": judge_name,
                "aspects": list(self.aspects),
                "coherence": described,
                "scorer": self.scorer,
                "mia": {name: ".".join(key) for name, key in self.members.items()} | {"share": MIN_K},
                "refusal_markers": {"markers": list(self.markers), "exact": self.exact},
            },
            "judge_errors": judge_errors[:5],
            "model": describe_model(model),
            "run": describe_run(datamodule, world),
            "versions": versions(),
            "summary": summary,
            "per_sample": per_sample,
        }
        return self.with_reference(evaluation, reference)

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation with its directions, after a look at whether the reference is comparable."""
        if reference is not None:
            require_comparable(evaluation, reference, sets=SETS)
            require_same_model(evaluation, reference)
        directions = {name: higher_is_better(name) for name in evaluation["summary"]}
        # What is in memory equals what a reader of the file gets: null where a number is not finite.
        result: Evaluation = plain(evaluation | {"higher_is_better": directions})
        return result

    # ------------------------------------------------------------------------- what it goes by

    def _reward(self, datamodule: Any, rows: Sequence[PreferenceRow]) -> tuple[Reward, str]:
        if self.reward is not None:
            return self.reward, _name(self.reward)
        own = getattr(datamodule, "reward", None)
        if own is not None:
            return own, "the data's own"
        return overlap_reward(rows), OVERLAP

    def _judge(self, reward: Reward) -> tuple[Judge, str]:
        if self.judge is not None:
            return self.judge, _name(self.judge)
        return functools.partial(rule_verdict, reward=reward, markers=self.markers), RULES

    def _encoder(self, model: AnsweringModel) -> tuple[Encoder, dict[str, str | None]]:
        if isinstance(self.encoder, str):
            found = find_similarity(self.encoder, next(model.parameters()).device)
            return found.used, found.describe()
        name = _name(self.encoder)
        return self.encoder, {"asked": name, "used": name, "why": None}

    def _limit(self, datamodule: PreferenceData) -> int:
        """Return the most new tokens: of the data alone, so that it is the same for any choice of rows."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        rows = rows_of(datamodule.evaluation_sets, "test", None)
        texts = [(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)]
        return math.ceil(1.25 * max(len(datamodule.encode(*pair)[1]) for pair in texts))

    def _batch_tokens(self, model: AnsweringModel) -> int:
        """Return the tokens of a batch that suit a processor's caches, or keep an accelerator busy."""
        return self.batch_tokens or (1024 if next(model.parameters()).device.type == "cpu" else 16384)


def _name(given: Any) -> str:
    """Return what a result calls something callable."""
    own = getattr(given, "name", None) or getattr(given, "__qualname__", None)
    return str(own or type(given).__qualname__)
