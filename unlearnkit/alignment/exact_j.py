"""ExactJ: the expected reward and its gradient, summed over every response there can be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.alignment.gradient import summed_gradient
from unlearnkit.alignment.rewards import TokenReward, token_rewards_of
from unlearnkit.errors import ConfigurationError
from unlearnkit.host import eval_mode


class ExactJ:
    """J(theta) = mean over prompts of sum_y pi(y | prompt) R(y), by enumeration: no Monte Carlo noise.

    All ``words ** (length - 1)`` beginnings of responses go through the model at once, so this is for toys.

    Args:
        prompts: Token ids of all prompts, [prompts, tokens].
        reward: Scores a response, or each of its tokens, which then add up.
        words: A response is made of token ids 0 to ``words - 1``, which the model's output layer knows alone.
        length: Tokens of every response.

    Raises:
        ConfigurationError: A number is below 1; later, the model's vocabulary is another one.
        NonFiniteError: A reward is NaN or infinite.

    >>> from unlearnkit.synthetic.toy_preferences import says_tox, toy_prompts, toy_reward
    >>> from unlearnkit.testing import TinyGPT
    >>> exact = ExactJ(toy_prompts(), toy_reward, words=8, length=4)
    >>> round(exact.probability(TinyGPT(), lambda prompts, responses: responses[:, 0] >= 0), 9)
    1.0
    """

    def __init__(self, prompts: Tensor, reward: TokenReward, *, words: int, length: int) -> None:
        for name, value in {"words": words, "length": length}.items():
            if value < 1:
                raise ConfigurationError(
                    f"`{name}` must be 1 or above. Found {value}. Give a positive number."
                )
        self.words = words
        answers = torch.cartesian_prod(*[torch.arange(words)] * length).view(-1, length)
        self.prompt_ids = prompts.repeat_interleave(len(answers), 0)
        self.response_ids = answers.repeat(len(prompts), 1)
        self.rewards = token_rewards_of(reward, self.prompt_ids, self.response_ids).sum(1)
        # A response's last token is only ever predicted: responses that share all others share a row.
        self.starts = torch.cat([prompts.repeat_interleave(len(answers) // words, 0), self._beginnings()], 1)
        self.first = prompts.shape[1] - 1
        self.prompts = len(prompts)

    def _beginnings(self) -> Tensor:
        return self.response_ids[:: self.words, :-1]

    def at(self, round_: int) -> ExactJ:
        """Return itself: nothing is drawn."""
        return self

    def _probabilities(self, model: Any) -> Tensor:
        """Return pi(y | prompt) of every prompt and response, [prompts * responses], attached to the graph."""
        device = next(model.parameters()).device
        ids = self.starts.to(device)
        labels = torch.full_like(ids, -100)
        index = torch.arange(len(ids), device=device)
        logits: Tensor = model(
            {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "index": index}
        )
        if logits.shape[-1] != self.words:
            raise ConfigurationError(
                f"`model` must have a vocabulary of exactly the {self.words} words that responses are made of. Found "
                f"{logits.shape[-1]}. Enumerate a model whose output layer knows these alone, such as "
                "unlearnkit.testing.TinyGPT."
            )
        steps = logits[:, self.first :].double().log_softmax(-1)
        given = ids[:, self.first + 1 :]
        begun = steps[:, :-1].gather(2, given[..., None]).sum((1, 2))
        return (begun[:, None] + steps[:, -1]).exp().flatten()

    def _expectation(self, model: Any, values: Tensor) -> Tensor:
        chances = self._probabilities(model)
        return (chances * values.to(chances)).sum() / self.prompts

    def value(self, model: Any) -> float:
        """Return the expected reward of a response."""
        with eval_mode(model), torch.no_grad():
            return float(self._expectation(model, self.rewards))

    def probability(self, model: Any, event: TokenReward) -> float:
        """Return the probability of an event.

        Args:
            model: The model.
            event: Says of prompts [n, tokens] and responses [n, tokens] whether it holds, [n].
        """
        holds = event(self.prompt_ids, self.response_ids).double()
        with eval_mode(model), torch.no_grad():
            return float(self._expectation(model, holds))

    def gradient(self, model: Any) -> list[Tensor]:
        """Return the direction in which J grows, one tensor per trainable parameter."""
        return summed_gradient(model, [lambda: self._expectation(model, self.rewards)])
