"""PolicyGradientJ: the expected reward of responses that the model itself draws, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unlearnkit.alignment.gradient import summed_gradient
from unlearnkit.alignment.rewards import Reward, TextReward, TokenReward, token_rewards_of
from unlearnkit.alignment.sampling import Responses, draw_responses, prompts_of, uniform_draws
from unlearnkit.batches import TokenBatch
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError

Baseline = Literal["leave_one_out", "none"]
"""What is taken off a reward: the mean over the other responses to the prompt, or nothing."""


class Estimate(NamedTuple):
    """An expected reward, measured on samples.

    Attributes:
        value: Mean over prompts of the mean over their responses.
        standard_error: Standard error of ``value`` for these prompts; NaN with one response a prompt.
    """

    value: float
    standard_error: float


class PolicyGradientJ:
    """J(theta) = E r(prompt, y) with y drawn from the model itself (paper 004, eq. 3 without its KL term).

    The gradient is REINFORCE's, E sum_t A_t grad log pi(y_t | y_<t). The advantage A_t is what is still to come from
    token t on (reward-to-go) less the same of the *other* responses to the prompt, which makes the estimate exact on
    average. Taking the reward of the next token alone, as eqs. 2-3 read literally, leaves out what a token leads to.

    Every draw is a function of (seed, round, row): ``at(round)`` moves on, and batches and ranks change nothing.

    Args:
        prompts: Token ids of each prompt; None takes those of the data module's preference pairs.
        reward: Scores responses as token ids, or each of their tokens (``TextReward`` makes one of text); None makes
            one of ``text_reward`` and the data module's tokenizer.
        samples: Responses to each prompt.
        length: Most tokens of a response.
        baseline: ``leave_one_out`` or ``none``.
        reward_to_go: Whether a token is held to account for rewards from its own on, else for all of them.
        eos_id: Token that ends a response; None draws ``length`` tokens always, or takes the data module's.
        pad_id: Token to fill up with.
        text_reward: Scores prompts and responses as text; None takes the data module's own ``reward``.
        batch_rows: Responses that go through the model at a time in ``value`` and ``gradient``.
        seed: Seed of every draw.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: There is no such baseline.

    >>> from unlearnkit.synthetic.toy_preferences import toy_prompts, toy_reward
    >>> from unlearnkit.testing import TinyGPT
    >>> sampled = PolicyGradientJ(toy_prompts().tolist(), toy_reward, samples=10, length=4)
    >>> len(sampled.gradient(TinyGPT())) == len(list(TinyGPT().parameters()))
    True
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]] | None = None,
        reward: TokenReward | None = None,
        *,
        samples: int = 4,
        length: int = 32,
        baseline: Baseline = "leave_one_out",
        reward_to_go: bool = True,
        eos_id: int | None = None,
        pad_id: int = 0,
        text_reward: Reward | None = None,
        batch_rows: int = 256,
        seed: int = 0,
    ) -> None:
        if baseline not in get_args(Baseline):
            raise UnknownNameError.among("baseline", str(baseline), get_args(Baseline))
        for name, value in {"samples": samples, "length": length, "batch_rows": batch_rows}.items():
            if value < 1:
                raise ConfigurationError(
                    f"`{name}` must be 1 or above. Found {value}. Give a positive number."
                )
        if baseline == "leave_one_out" and samples < 2:
            raise ConfigurationError(
                f"`samples` must be 2 or above where the baseline is the other responses' mean. Found {samples}. Use "
                "samples=4, or baseline='none'."
            )
        self.prompts = None if prompts is None else [list(prompt) for prompt in prompts]
        self.reward = reward
        self.text_reward = text_reward
        self.samples = samples
        self.length = length
        self.baseline = baseline
        self.reward_to_go = reward_to_go
        self.eos_id = eos_id
        self.pad_id = pad_id
        self.batch_rows = batch_rows
        self.seed = seed
        self.round = 0

    def at(self, round_: int) -> Self:
        """Move on to a round's draws, and return itself."""
        self.round = round_
        return self

    def bind(self, datamodule: Any) -> None:
        """Take what was not given from a data module: prompts of its pairs, its tokenizer, its reward.

        Raises:
            ConfigurationError: It has no reward, and none was given.
        """
        if datamodule is None or self.reward is not None:
            return
        text_reward = self.text_reward or getattr(datamodule, "reward", None)
        if text_reward is None:
            raise ConfigurationError(
                "`text_reward` must be given where the data have no reward of their own. Found None. Use e.g. "
                "unlearnkit.alignment.HubReward."
            )
        tables = {part: datamodule.prompt_ids(part) for part in ("pairs", "forget", "positives")}
        known = {ids: text for table in tables.values() for ids, text in table.items()}
        tokenizer: Any = datamodule.tokenizer
        self.reward = TextReward(text_reward, tokenizer, known)
        if self.prompts is None:
            self.prompts = [list(ids) for ids in tables["pairs"]]
        if self.eos_id is None:
            self.eos_id = int(tokenizer.eos_token_id)
        self.pad_id = int(tokenizer.pad_token_id)

    # -------------------------------------------------------------------------------- draws

    def _parts(self) -> list[list[list[int]]]:
        """Return prompts in groups whose responses go through the model together."""
        if not self.prompts:
            raise DataError(
                "`prompts` must hold at least one prompt. Found none. Give the prompts whose responses shall be "
                "rewarded, e.g. those of the preference pairs, or call .bind(data)."
            )
        size = max(1, self.batch_rows // self.samples)
        return [self.prompts[low : low + size] for low in range(0, len(self.prompts), size)]

    def _drawn(
        self, model: Any, prompts: Sequence[Sequence[int]], rows: Sequence[int]
    ) -> tuple[Responses, Tensor]:
        """Return each prompt's responses, one after the other, and the rewards of their tokens."""
        if self.reward is None:
            raise ConfigurationError(
                "`reward` must be given, or taken from a data module by bind. Found None. Pass one, or call "
                ".bind(data)."
            )
        draws = uniform_draws(self.seed, self.round, rows, self.samples, self.length).flatten(0, 1)
        repeated = [prompt for prompt in prompts for _ in range(self.samples)]
        drawn = draw_responses(model, repeated, draws, pad_id=self.pad_id, eos_id=self.eos_id)
        return drawn, token_rewards_of(self.reward, drawn.prompt_ids, drawn.response_ids, drawn.mask)

    def _advantages(self, rewards: Tensor) -> Tensor:
        """Return what each token is credited with, [rows, tokens]."""
        to_come = rewards.flip(1).cumsum(1).flip(1)
        credit = to_come if self.reward_to_go else to_come[:, :1].expand_as(rewards)
        if self.baseline == "none":
            return credit
        # A response that has ended has nothing to come: it counts among the others with 0.
        grouped = credit.view(-1, self.samples, credit.shape[1])
        mean = grouped.mean(1, keepdim=True)
        return ((grouped - mean) * (self.samples / (self.samples - 1))).flatten(0, 1)

    def _terms(self, model: Any, prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> Tensor:
        """Return for each prompt a number [prompts] whose gradient is the estimate of its J's."""
        drawn, rewards = self._drawn(model, prompts, rows)
        logits, targets, mask = model.units(drawn.batch)
        losses = cross_entropy(logits[mask], targets[mask], reduction="none")
        weights = self._advantages(rewards)[drawn.mask].to(losses.dtype)
        owners = torch.arange(len(prompts), device=losses.device).repeat_interleave(self.samples)
        of_tokens = owners[:, None].expand_as(drawn.mask)[drawn.mask]
        summed = torch.zeros(len(prompts), dtype=losses.dtype, device=losses.device)
        return summed.index_add(0, of_tokens, -weights * losses) / self.samples

    # ------------------------------------------------------------------------------- offers

    def value(self, model: Any) -> float:
        """Return the mean reward of the round's responses."""
        return self.estimate(model).value

    def estimate(self, model: Any) -> Estimate:
        """Return the mean reward of the round's responses with its standard error over draws."""
        means, variances = [], []
        for prompts, rows in self._numbered():
            _, rewards = self._drawn(model, prompts, rows)
            totals = rewards.sum(1).view(-1, self.samples)
            means.append(totals.mean(1))
            variances.append(totals.var(1) / self.samples if self.samples > 1 else totals[:, 0] * math.nan)
        mean, variance = torch.cat(means), torch.cat(variances)
        return Estimate(float(mean.mean()), float(variance.sum().sqrt()) / len(mean))

    def gradient(self, model: Any) -> list[Tensor]:
        """Return the direction in which J grows, one tensor per trainable parameter."""
        parts = list(self._numbered())
        number = sum(len(rows) for _, rows in parts)

        def term(prompts: list[list[int]], rows: list[int]) -> Callable[[], Tensor]:
            return lambda: self._terms(model, prompts, rows).sum() / number

        return summed_gradient(model, (term(*part) for part in parts))

    def _numbered(self) -> Iterator[tuple[list[list[int]], list[int]]]:
        first = 0
        for part in self._parts():
            yield part, list(range(first, first + len(part)))
            first += len(part)

    def surrogate(
        self, model: Any, batch: TokenBatch, reference: Callable[[], Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return sums [batch] and counts [batch] whose gradient is minus the estimate of J's on the batch's prompts.

        Args:
            model: The model, which also draws the responses.
            batch: Token sequences, whose prompts are responded to; its ``index`` keys the draws.
            reference: Not needed; an objective passes what it is passed.

        Raises:
            DataError: A row has no prompt.
        """
        sums = -self._terms(model, prompts_of(batch), batch["index"].tolist())
        return sums, torch.ones_like(sums)
