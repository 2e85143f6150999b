"""A fixed language model that scores other models' texts: what reference-model perplexity is measured by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unlearnkit.errors import DataNotFoundError

_BATCH = 8
_IGNORE = -100


class LanguageScorer:
    """Negative log-likelihoods of responses after their prompts, under a causal language model with its own tokenizer.

    Args:
        name: Name or folder of a causal language model of transformers that is on disk; nothing is downloaded.
        device: Where it runs.
        max_length: Most tokens of prompt and response; a longer prompt loses its beginning.

    Raises:
        DataNotFoundError: It cannot be loaded without a network.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu", max_length: int = 1024) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = name
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, local_files_only=True)
            network: Any = AutoModelForCausalLM.from_pretrained(name, local_files_only=True)
        except (OSError, ValueError) as error:
            raise DataNotFoundError(
                f"`scorer` must be a causal language model that is on disk, by its name or folder. Found {name!r}, "
                f"which could not be loaded ({str(error).partition(chr(10))[0]}). Download it first (hf download "
                f"{name}), or leave it out: there is no stand-in for another model's perplexity."
            ) from error
        self.network = network.to(device).float().eval()
        context = getattr(self.network.config, "max_position_embeddings", None) or max_length
        self.max_length = min(max_length, int(context))

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """Return the negative log-likelihood of each response, nats, and how many tokens it runs over, perhaps 0."""
        rows = [self._ids(prompt, text) for prompt, text in zip(prompts, responses, strict=True)]
        found: list[tuple[float, int]] = []
        for start in range(0, len(rows), _BATCH):
            found += self._score(rows[start : start + _BATCH])
        return found

    def _ids(self, prompt: str, response: str) -> tuple[list[int], list[int]]:
        before, after = (
            list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            for text in (prompt, response)
        )
        if self.tokenizer.bos_token_id is not None:
            before = [int(self.tokenizer.bos_token_id), *before]
        after = after[: self.max_length - 1]
        room = self.max_length - len(after)
        return before[-room:], after

    def _score(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
        longest = max(1, *(len(before) + len(after) for before, after in rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        labels = torch.full_like(ids, _IGNORE)
        for row, (before, after) in enumerate(rows):
            end = len(before) + len(after)
            ids[row, :end] = torch.tensor([*before, *after], dtype=torch.long)
            # The very first token of a sequence has nothing before it that could predict it.
            labels[row, max(1, len(before)) : end] = ids[row, max(1, len(before)) : end]
        ids, labels = ids.to(self.network.device), labels.to(self.network.device)
        # Padding is on the right, where a causal network cannot look at it.
        logits: Tensor = self.network(input_ids=ids, use_cache=False).logits[:, :-1].float()
        targets = labels[:, 1:]
        losses = cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=_IGNORE, reduction="none"
        )
        sums = losses.view(targets.shape).double().sum(-1).tolist()
        return list(zip(sums, (targets != _IGNORE).sum(-1).tolist(), strict=True))
