"""Rewards: any callable that scores responses, as text or as tokens, called through one check."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError

Reward = Callable[[Sequence[str], Sequence[str]], Sequence[float] | Sequence[Sequence[float]]]
"""Scores each response to its prompt, or each token of each response (its EOS left out)."""

TokenReward = Callable[[Tensor, Tensor], Tensor]
"""Scores responses [n, tokens] to prompts [n, tokens], as ids: [n], or [n, tokens] for each token."""


def rewards_of(
    reward: Reward, prompts: Sequence[str], responses: Sequence[str]
) -> list[float] | list[list[float]]:
    """Call a reward on text and check what it returns.

    Args:
        reward: The reward.
        prompts: The prompts.
        responses: A response to each.

    Returns:
        A number for each response, or a list for each with a number for each of its tokens.

    Raises:
        MismatchError: It returns another number of values than there are responses, or of both kinds.
        NonFiniteError: A value is NaN or infinite.

    >>> rewards_of(lambda prompts, responses: [len(text) for text in responses], ["Hi"], ["Hello"])
    [5.0]
    """
    found: Any = reward(prompts, responses)
    values = found.tolist() if hasattr(found, "tolist") else list(found)
    if len(values) != len(responses):
        raise MismatchError(
            f"`reward` must return one value, or one list of values, for each response. Found {len(values)} for "
            f"{len(responses)} responses. Score every response, in the order given."
        )
    listed = [isinstance(value, (list, tuple)) or hasattr(value, "tolist") for value in values]
    if any(listed) and not all(listed):
        raise MismatchError(
            f"`reward` must score responses or tokens, one of them throughout. Found {sum(listed)} lists among "
            f"{len(values)} values. Return a number for each response, or a list for each."
        )
    if not all(listed):
        numbers = [float(value) for value in values]
        _require_finite(numbers, responses)
        return numbers
    lists = [[float(one) for one in value] for value in values]
    _require_finite([sum(one) for one in lists], responses)
    return lists


def _require_finite(values: Sequence[float], responses: Sequence[str]) -> None:
    for value, response in zip(values, responses, strict=True):
        if not math.isfinite(value):
            raise NonFiniteError(
                f"`reward` must return finite numbers. Found {value} for the response {response[:60]!r}. Give such "
                "responses a finite score."
            )


def token_rewards_of(
    reward: TokenReward, prompt_ids: Tensor, response_ids: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Call a reward on ids and return it token by token; one value for a response stands at its last token.

    Args:
        reward: The reward.
        prompt_ids: [n, prompt tokens].
        response_ids: [n, tokens].
        mask: [n, tokens]; which tokens belong to a response, from its first on. None takes all.

    Returns:
        [n, tokens], float64; 0 after a response has ended.

    Raises:
        MismatchError: It returns another shape than [n] or [n, tokens].
        NonFiniteError: A value is NaN or infinite.

    >>> token_rewards_of(lambda prompts, ids: ids.sum(1), torch.zeros(1, 1), torch.tensor([[1, 2]])).tolist()
    [[0.0, 3.0]]
    """
    n, tokens = response_ids.shape
    within = torch.ones_like(response_ids, dtype=torch.bool) if mask is None else mask
    found: Any = reward(prompt_ids, response_ids)
    shape = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    if shape not in ((n,), (n, tokens)):
        raise MismatchError(
            f"`reward` must return a tensor of shape ({n},), one value a response, or ({n}, {tokens}), one a token. "
            f"Found {shape}. Score every response, in the order given."
        )
    values: Tensor = found.detach().to(response_ids.device, torch.float64)
    if values.dim() == 1:
        last = within.sum(1, keepdim=True).clamp_min(1) - 1
        values = torch.zeros(n, tokens, dtype=torch.float64, device=values.device).scatter_(
            1, last, values[:, None]
        )
    values = values.masked_fill(~within, 0.0)
    wrong = ~values.isfinite()
    if bool(wrong.any()):
        row = int(wrong.any(1).nonzero()[0])
        raise NonFiniteError(
            f"`reward` must return finite numbers. Found {values[row][wrong[row]][0].item()} for response {row}. Give "
            "such responses a finite score."
        )
    return values


class TextReward:
    """Let a reward on text score token ids.

    Args:
        reward: Scores texts.
        tokenizer: Any tokenizer of transformers; its special tokens are left out of the texts.
        prompts: Text of each prompt by its token ids, so that a template around it stays out of the reward's sight;
            a prompt that is not in it is decoded.

    Raises:
        ConfigurationError: The tokenizer has neither a pad nor an EOS token.
    """

    def __init__(
        self, reward: Reward, tokenizer: Any, prompts: Mapping[tuple[int, ...], str] | None = None
    ) -> None:
        self.reward = reward
        self.tokenizer = tokenizer
        self.prompts = dict(prompts or {})
        self.special = {
            token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None
        }
        if not self.special:
            raise ConfigurationError(
                "`tokenizer` must have a pad or an EOS token, after which a response has ended. Found neither. Set "
                "tokenizer.eos_token."
            )

    def __call__(self, prompt_ids: Tensor, response_ids: Tensor) -> Tensor:
        """Return [n] or [n, tokens], float64.

        Raises:
            MismatchError: The reward returns another number of values than there are responses or tokens.
            NonFiniteError: A value is NaN or infinite.
        """
        answers = [self._until_end(ids) for ids in response_ids.tolist()]
        texts = [str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in answers]
        values = rewards_of(self.reward, [self._prompt(ids) for ids in prompt_ids.tolist()], texts)
        rows = torch.zeros(response_ids.shape, dtype=torch.float64)
        for row, (value, ids) in enumerate(zip(values, answers, strict=True)):
            if not isinstance(value, list):
                return torch.tensor(values, dtype=torch.float64)
            if len(value) != len(ids):
                raise MismatchError(
                    f"`reward` must return as many values as a response has tokens, its EOS left out. Found "
                    f"{len(value)} for {len(ids)} tokens of {texts[row][:60]!r}. Tokenise with the same tokenizer, or "
                    "return one value for each response."
                )
            rows[row, : len(ids)] = torch.tensor(value, dtype=torch.float64)
        return rows

    def _until_end(self, ids: list[int]) -> list[int]:
        end = next((place for place, token in enumerate(ids) if token in self.special), len(ids))
        return ids[:end]

    def _prompt(self, ids: list[int]) -> str:
        start = next((place for place, token in enumerate(ids) if token != self.tokenizer.pad_token_id), 0)
        known = self.prompts.get(tuple(ids[start:]))
        return (
            known if known is not None else str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()
        )
