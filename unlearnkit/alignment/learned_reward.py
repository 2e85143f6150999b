"""LearnedReward and HubReward: reward models as callables of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from unlearnkit.alignment.reward_model import RewardModel, padded
from unlearnkit.errors import ConfigurationError, DataNotFoundError
from unlearnkit.host import eval_mode

Encode = Callable[[str, str], tuple[list[int], list[int]]]
"""Returns the tokens of a prompt and of a response to it."""


class LearnedReward:
    """Score texts with a reward model: a ``Reward`` for J, RLOO, selectors and evaluators.

    Args:
        model: The reward model.
        encode: Returns prompt ids and response ids, e.g. ``data.encode``; not asked for blank responses.
        tokens: Return a reward for each token of a response, its last (EOS) added to the one before.
        batch_rows: Responses that go through the model at a time.
        max_length: Tokens of prompt and response; what is longer is cut at its end. None cuts nothing.

    Raises:
        ConfigurationError: A number is below 1.
    """

    def __init__(
        self,
        model: RewardModel,
        encode: Encode,
        *,
        tokens: bool = False,
        batch_rows: int = 32,
        max_length: int | None = None,
    ) -> None:
        for name, value in {"batch_rows": batch_rows, "max_length": max_length}.items():
            if value is not None and value < 1:
                raise ConfigurationError(
                    f"`{name}` must be 1 or above. Found {value}. Give a positive number."
                )
        self.model = model
        self.encode = encode
        self.tokens = tokens
        self.batch_rows = batch_rows
        self.max_length = max_length

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float] | list[list[float]]:
        """Return one reward for each response, or one list of its tokens' rewards."""
        device = next(self.model.parameters()).device
        rows = [self._ids(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        values: list[float] = []
        lists: list[list[float]] = []
        with eval_mode(self.model), torch.no_grad():
            for low in range(0, len(rows), self.batch_rows):
                batch = padded(rows[low : low + self.batch_rows], device)
                if not self.tokens:
                    values += self.model(batch).tolist()
                    continue
                scored = batch["labels"] != -100
                for rewards, mask in zip(self.model.token_rewards(batch), scored, strict=True):
                    own = rewards[mask].tolist()
                    lists.append([*own[:-2], sum(own[-2:])] if len(own) > 1 else [])
        return lists if self.tokens else values

    def _ids(self, prompt: str, response: str) -> tuple[list[int], list[int]]:
        before, after = self.encode(prompt, response if response.strip() else ".")
        after = after if response.strip() else []
        if self.max_length is None:
            return before, after
        before = before[: self.max_length]
        return before, after[: self.max_length - len(before)]


class HubReward:
    """Score texts with a reward model of transformers by its name, such as ``Skywork/Skywork-Reward-Llama-3.1-8B``.

    It is loaded when it is first asked, with the tokenizer and chat template beside it.

    Args:
        name: Folder or name on the hub; sequence classification with one label.
        device: Where to put it.
        batch_rows: Responses that go through it at a time.
        max_length: Tokens of prompt and response; what is longer is cut at its end.
    """

    def __init__(
        self, name: str, *, device: str = "cpu", batch_rows: int = 8, max_length: int = 2048
    ) -> None:
        self.name = name
        self.device = device
        self.batch_rows = batch_rows
        self.max_length = max_length
        self._reward: LearnedReward | None = None

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float] | list[list[float]]:
        """Return one reward for each response.

        Raises:
            DataNotFoundError: The model or its tokenizer is not to be had.
            ConfigurationError: It is no reward model.
        """
        if self._reward is None:
            model = RewardModel.load(self.name).to(self.device)
            self._reward = LearnedReward(
                model, conversation_ids(self.name), batch_rows=self.batch_rows, max_length=self.max_length
            )
        return self._reward(prompts, responses)


def conversation_ids(name: str) -> Encode:
    """Return a function that writes prompt and response as a model's tokenizer has conversations.

    Without a chat template the response follows the prompt after a line break.

    Args:
        name: Folder or name on the hub.

    Raises:
        DataNotFoundError: There is no tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise DataNotFoundError(
            f"`name` must have a tokenizer beside the model. Found none at {name!r}. Save it there with "
            "tokenizer.save_pretrained."
        ) from error

    def encode(prompt: str, response: str) -> tuple[list[int], list[int]]:
        if not getattr(tokenizer, "chat_template", None):
            texts = (f"{prompt}\n", response)
            before, after = (
                tokenizer(text, add_special_tokens=first)["input_ids"]
                for text, first in zip(texts, (True, False), strict=True)
            )
            return list(before), list(after)
        asked = [{"role": "user", "content": prompt}]
        start = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(
            [*asked, {"role": "assistant", "content": response}], tokenize=False
        )
        # A template that writes the answer's turn in another way has its whole text scored at its end all the same.
        cut = len(start) if whole.startswith(start) else 0
        before, after = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (whole[:cut], whole[cut:])
        )
        return list(before), list(after)

    return encode
