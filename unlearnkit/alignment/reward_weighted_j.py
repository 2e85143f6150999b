"""RewardWeightedJ: how likely good ones of given responses are against bad ones; nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from unlearnkit.alignment.gradient import summed_gradient
from unlearnkit.alignment.rewards import Reward
from unlearnkit.alignment.scored import scored_batches
from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError
from unlearnkit.host import eval_mode
from unlearnkit.metrics.functional.rewards import response_rewards


class RewardWeightedJ:
    """J(theta) = mean_i (r_i - mean r) log pi(y_i | x_i) over given responses, such as the negatives themselves.

    One pass over the responses, no generation and no positives: the cheap measure for large models. It grows as
    better-than-average responses get likelier and others less so; it knows nothing about responses that are not
    there, and where the candidates themselves are used, the same data say what is good and are selected by it.

    Args:
        candidates: Batches of token sequences, the same ones on every pass; None takes the data module's forget side.
        rewards: A number for each row, in the batches' order; None has ``text_reward`` score the data module's rows.
        text_reward: Scores prompts and responses; None takes the data module's own ``reward``.

    Raises:
        NonFiniteError: A reward is NaN or infinite.

    >>> from unlearnkit.synthetic.toy_preferences import toy_tokens
    >>> from unlearnkit.testing import TinyGPT
    >>> batches = [toy_tokens([0, 0], [[0, 2, 2, 5], [6, 6, 6, 5]])]
    >>> round(RewardWeightedJ(batches, [3.0, -5.5]).value(TinyGPT()), 3)
    4.302
    """

    def __init__(
        self,
        candidates: Iterable[Any] | None = None,
        rewards: Sequence[float] | None = None,
        text_reward: Reward | None = None,
    ) -> None:
        self.candidates = candidates
        self.text_reward = text_reward
        self._weights: Tensor | None = None if rewards is None else _centred(rewards)

    def at(self, round_: int) -> Self:
        """Return itself: nothing is drawn."""
        return self

    def bind(self, datamodule: Any) -> None:
        """Take what was not given from a data module: its forget side, and rewards of its rows.

        Raises:
            ConfigurationError: It has no reward, and none was given.
        """
        if datamodule is None:
            return
        if self.candidates is None:
            self.candidates = list(datamodule.batches("forget"))
        if self._weights is None:
            reward = self.text_reward or getattr(datamodule, "reward", None)
            if reward is None:
                raise ConfigurationError(
                    "`text_reward` must be given where the data have no reward of their own. Found None. Use e.g. "
                    "unlearnkit.alignment.HubReward."
                )
            rows = datamodule.samples("forget")
            questions, answers = [row.question for row in rows], [row.answer for row in rows]
            self._weights = _centred(response_rewards(reward, questions, answers))

    def _known(self) -> tuple[Iterable[Any], Tensor]:
        if self.candidates is None or self._weights is None:
            raise ConfigurationError(
                "`candidates` and `rewards` must be given, or taken from a data module by bind. Found neither. Pass "
                "both, or call .bind(data)."
            )
        return self.candidates, self._weights

    def _terms(self, model: Any) -> Iterator[Callable[[], Tensor]]:
        """Yield the sum over each batch of weight times log-likelihood, divided by the number of rows."""
        candidates, weights = self._known()
        first = 0
        for batch in scored_batches(model, candidates, "candidates"):
            own = weights[first : first + len(batch["index"])]
            first += len(batch["index"])
            if first > len(weights):
                break

            def term(batch: Any = batch, own: Tensor = own) -> Tensor:
                losses: Tensor = model.losses(batch)
                return -(own.to(losses) * losses).sum() / len(weights)

            yield term
        if first != len(weights):
            raise MismatchError(
                f"`rewards` must have one number for each row of `candidates`. Found {len(weights)} rewards and "
                f"{'more' if first > len(weights) else first} rows. Score all candidates, in their order."
            )

    def value(self, model: Any) -> float:
        """Return the reward-weighted log-likelihood, nats times reward."""
        with eval_mode(model), torch.no_grad():
            return sum(float(term()) for term in self._terms(model))

    def gradient(self, model: Any) -> list[Tensor]:
        """Return the direction in which J grows, one tensor per trainable parameter."""
        return summed_gradient(model, self._terms(model))


def _centred(rewards: Sequence[float]) -> Tensor:
    values = torch.as_tensor(rewards, dtype=torch.float64)
    if not bool(values.isfinite().all()):
        row = int((~values.isfinite()).nonzero()[0])
        raise NonFiniteError(
            f"`rewards` must be finite numbers. Found {values[row].item()} for row {row}. Give such responses a finite "
            "score."
        )
    return values - values.mean()
