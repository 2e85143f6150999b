"""RewardModel: a language model with a number at its end, fitted to preferences by Bradley and Terry's rule."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from unlearnkit.alignment.preference_margin_j import require_same_prompts
from unlearnkit.alignment.scored import scored_batches
from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.errors import ConfigurationError, DataNotFoundError, NonFiniteError
from unlearnkit.host import eval_mode


class RewardModel(nn.Module):
    """Score responses: a linear head on the hidden state of the last token.

    The score after each token is the reward so far, so a token's own reward r(x_<t, x_t) is the difference that it
    makes; these add up to the response's score less the prompt's.

    Args:
        backbone: A transformer of transformers without its output layer.
        head: Linear layer to one number; None makes one with zeros, which prefers nothing.

    Raises:
        ConfigurationError: The head has more than one output.

    >>> from transformers import LlamaConfig, LlamaModel
    >>> sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = RewardModel(LlamaModel(LlamaConfig(vocab_size=11, **sizes)))
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> model({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids, "index": ids[0, :1]}).tolist()
    [0.0]
    """

    def __init__(self, backbone: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        if head is None:
            weight = next(backbone.parameters())
            config: Any = backbone.config
            # Without the draw that a linear layer makes: the global generator is not this model's to move.
            made: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
                nn.Linear, config.hidden_size, 1, bias=False, dtype=weight.dtype, device=weight.device
            )
            nn.init.zeros_(made.weight)
            head = made
        if getattr(head, "out_features", 1) != 1:
            raise ConfigurationError(
                f"`head` must have one output, the reward. Found {head.out_features}. Load the model with "
                "num_labels=1, or take one that was trained as a reward model."
            )
        self.head = head

    @classmethod
    def load(cls, name: str) -> Self:
        """Load a reward model of transformers: sequence classification with one label, by folder or name on the hub.

        Raises:
            DataNotFoundError: It is neither a folder nor to be had from the hub.
            ConfigurationError: It has another number of labels, or a head that is not one linear layer.
        """
        from transformers import AutoModelForSequenceClassification

        try:
            network: Any = AutoModelForSequenceClassification.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise DataNotFoundError(
                f"`name` must be a folder written by save_pretrained or a reward model on the hub. Found {name!r}, "
                f"which could not be loaded ({str(error).partition(chr(10))[0][:120]}). Without a network give the "
                "path of a folder."
            ) from error
        head = getattr(network, "score", None)
        if not isinstance(head, nn.Linear):
            raise ConfigurationError(
                f"`name` must be a decoder with a linear layer `score` at its end. Found {type(network).__name__}. "
                "Wrap it in a callable of your own: any function of prompts and responses is a reward."
            )
        return cls(network.base_model, head)

    @classmethod
    def of(cls, language_model: Any) -> Self:
        """Start from a copy of a language model (``CausalLM``), as is usual: it knows the language already."""
        network: Any = getattr(language_model, "network", language_model)
        return cls(copy.deepcopy(network.base_model))

    def prefixes(self, batch: TokenBatch) -> Tensor:
        """Return the score after each token, [batch, tokens], fp32."""
        hidden = self.backbone(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        scores: Tensor = self.head(hidden)[..., 0]
        return scores.float()

    def forward(self, batch: TokenBatch) -> Tensor:
        """Return the reward of each sequence, [batch], fp32; padding is on the right."""
        last = batch["attention_mask"].sum(1, keepdim=True) - 1
        return self.prefixes(batch).gather(1, last)[:, 0]

    def token_rewards(self, batch: TokenBatch) -> Tensor:
        """Return what each scored token adds, [batch, tokens], 0 at others."""
        scores = self.prefixes(batch)
        added = torch.diff(scores, dim=1, prepend=torch.zeros_like(scores[:, :1]))
        return added.masked_fill(batch["labels"] == IGNORE, 0.0)


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return -log p(chosen is preferred) of each pair, with p = sigma(chosen - rejected) (paper 004, eq. 2).

    >>> [round(value, 4) for value in bradley_terry(torch.tensor([0.0, 2.0]), torch.zeros(2)).tolist()]
    [0.6931, 0.1269]
    """
    return -logsigmoid(chosen - rejected)


def fit_reward_model(
    model: nn.Module,
    pairs: Iterable[TokenBatch],
    *,
    epochs: int = 1,
    lr: float = 1e-4,
    seed: int = 0,
) -> list[float]:
    """Fit a reward model to preference pairs with AdamW, batch by batch in a new order each epoch.

    Args:
        model: Maps a batch to rewards, [batch].
        pairs: Batches of rejected answers with the chosen ones as ``alternative``, e.g. ``data.pair_batches()``.
        epochs: Passes over the pairs.
        lr: Learning rate.
        seed: Seed of the order, and of dropout.

    Returns:
        Mean loss of each epoch, nats.

    Raises:
        ConfigurationError: ``epochs`` is below 1, or ``lr`` not above 0.
        DataError: There is no pair, or a pair's prompts differ.
        NonFiniteError: The loss became NaN or infinite.
    """
    if epochs < 1 or not lr > 0.0:
        raise ConfigurationError(
            f"`epochs` must be 1 or above and `lr` above 0. Found epochs={epochs}, lr={lr}. Use epochs=1, lr=1e-4."
        )
    batches = list(scored_batches(model, pairs, "pairs"))
    for batch in batches:
        require_same_prompts(batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    history: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.train()
        for epoch in range(epochs):
            total, count = 0.0, 0
            for number in torch.randperm(len(batches), generator=generator).tolist():
                batch = batches[number]
                losses = bradley_terry(model(batch["alternative"]), model(batch))
                optimizer.zero_grad()
                losses.mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total, count = total + float(losses.detach().sum()), count + len(losses)
            history.append(total / count)
            if not history[-1] < float("inf"):
                raise NonFiniteError(
                    f"`lr` must be small enough for the loss to stay finite. Found a loss of {history[-1]} in epoch "
                    f"{epoch}. Lower lr, {lr} now."
                )
    return history


def preference_accuracy(model: nn.Module, pairs: Iterable[TokenBatch]) -> float:
    """Return the share of pairs whose chosen answer gets the higher reward; a tie counts half.

    Args:
        model: Maps a batch to rewards, [batch].
        pairs: Batches as for ``fit_reward_model``.

    Raises:
        DataError: There is no pair, or a pair's prompts differ.
    """
    right: list[float] = []
    with eval_mode(model), torch.no_grad():
        for batch in scored_batches(model, pairs, "pairs"):
            require_same_prompts(batch)
            gap: Tensor = model(batch["alternative"]) - model(batch)
            right += (0.5 + 0.5 * gap.sign()).tolist()
    return sum(right) / len(right)


def padded(sequences: Sequence[tuple[list[int], list[int]]], device: torch.device) -> TokenBatch:
    """Return prompts and responses as one right-padded batch; the pad token is never seen.

    >>> padded([([5], [6, 7]), ([8], [])], torch.device("cpu"))["attention_mask"].tolist()
    [[1, 1, 1], [1, 0, 0]]
    """
    width = max(len(prompt) + len(response) for prompt, response in sequences)
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
    for row, (prompt, response) in enumerate(sequences):
        end = len(prompt) + len(response)
        ids[row, :end] = torch.tensor([*prompt, *response])
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = ids[row, len(prompt) : end]
    index = torch.arange(len(sequences))
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        "labels": labels.to(device),
        "index": index.to(device),
    }
