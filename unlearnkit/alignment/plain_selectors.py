"""Selectors for U2A that form no gain: by chance, or the lowest rewards. What choosing by gain is to be set against."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.alignment.gain_selectors import GainSelector
from unlearnkit.alignment.rewards import Reward
from unlearnkit.alignment.selection import Selection
from unlearnkit.alignment.selectors import random, reward_lowest
from unlearnkit.errors import ConfigurationError, MismatchError
from unlearnkit.metrics.functional.rewards import response_rewards


class PlainSelector(GainSelector):
    """Select once, with equal weights, without looking at any gradient.

    Args:
        size: K, how many candidates.

    Raises:
        ConfigurationError: ``size`` is below 1; later, above the number of candidates.
    """

    needs_gains = False

    def __init__(self, size: int) -> None:
        super().__init__(regulariser="none")
        if size < 1:
            raise ConfigurationError(f"`size` must be 1 or above. Found {size}. Use e.g. size=32.")
        self.size = size

    def select(self, rows: Tensor) -> Selection:
        """Return the selection among the candidates [n]."""
        raise NotImplementedError

    def first(self, rows: Tensor, gains: Tensor) -> Tensor:
        """Return 1/K for those selected, [n]."""
        return self.select(rows).of(rows)

    def grow(self, rows: Tensor, gains: Tensor, weights: Tensor) -> Tensor:
        """Return the weights as they are."""
        return weights


class RandomSelector(PlainSelector):
    """Select K candidates by chance (paper 004, figure 4).

    Args:
        size: K.
        seed: Seed of the draw; None takes the data module's.

    >>> int((RandomSelector(size=3).first(torch.arange(10), torch.zeros(0)) > 0).sum())
    3
    """

    def __init__(self, size: int, seed: int | None = None) -> None:
        super().__init__(size)
        self.seed = seed

    def bind(self, datamodule: Any) -> None:
        """Take the data module's seed where none was given."""
        if self.seed is None:
            self.seed = getattr(datamodule, "seed", None)

    def select(self, rows: Tensor) -> Selection:
        """Draw among the candidates [n]."""
        return random(rows, self.size, self.seed or 0)


class RewardSelector(PlainSelector):
    """Select the K candidates of lowest reward: the rival of a gain that knows the reward and needs no gradient.

    Args:
        size: K.
        text_reward: Scores prompts and responses; None takes the data module's own ``reward``.
    """

    def __init__(self, size: int, text_reward: Reward | None = None) -> None:
        super().__init__(size)
        self.text_reward = text_reward
        self._rewards: dict[int, float] = {}

    def bind(self, datamodule: Any) -> None:
        """Score the forget side's rows.

        Raises:
            ConfigurationError: There is no reward.
            NonFiniteError: A reward is NaN or infinite.
            MismatchError: The reward returns another number of values.
        """
        reward = self.text_reward or getattr(datamodule, "reward", None)
        if reward is None:
            raise ConfigurationError(
                "`text_reward` must be given where the data have no reward of their own. Found None. Use e.g. "
                "unlearnkit.alignment.HubReward."
            )
        rows = datamodule.samples("forget")
        found = response_rewards(reward, [row.question for row in rows], [row.answer for row in rows])
        self._rewards = {int(row.index): float(value) for row, value in zip(rows, found, strict=True)}

    def select(self, rows: Tensor) -> Selection:
        """Return the lowest of the candidates [n].

        Raises:
            MismatchError: A candidate was not scored.
        """
        missing = [row for row in rows.tolist() if row not in self._rewards]
        if missing:
            raise MismatchError(
                f"`candidates` must be the rows that `bind` scored. Found row {missing[0]} besides. Call "
                ".bind(datamodule) with the data of this run."
            )
        return reward_lowest(rows, torch.tensor([self._rewards[row] for row in rows.tolist()]), self.size)
