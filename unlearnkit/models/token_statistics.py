"""What membership attacks read of an answer: log-probabilities, z-scores, and the norm of the loss's gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import eval_mode
from unlearnkit.models.scoring import Sequences, at_answers, check_sequences
from unlearnkit.sharding import sharded_modules

_LEAST_VARIANCE = 1e-6
"""As in open-unlearning: a model that is certain has no variance to divide by."""


class TokenStatistics(NamedTuple):
    """One answer, token by token.

    Attributes:
        log_probs: log p of each token, nats.
        z_scores: (log p - mu) / sigma, mu and sigma^2 being mean and variance of log p of a token drawn from the
            model's own distribution at that place (Min-K%++).
    """

    log_probs: tuple[float, ...]
    z_scores: tuple[float, ...]


def token_statistics(
    network: nn.Module, sequences: Sequences, *, context_length: int, batch_tokens: int = 1024
) -> list[TokenStatistics]:
    """Return the statistics of each answer given its prompt, in the order given.

    Args:
        network: Causal language model of transformers.
        sequences: Pairs of prompt ids and answer ids.
        context_length: Most tokens the network takes, prompt and answer together.
        batch_tokens: Most tokens of one batch, padding included.

    Raises:
        DataError: A prompt or an answer is empty, or both together exceed the context.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tiny = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    >>> [len(found.z_scores) for found in token_statistics(tiny, [([1, 2], [3]), ([4], [5, 6])], context_length=16)]
    [1, 2]
    """
    return [
        TokenStatistics(tuple(log_probs.tolist()), tuple(z_scores.tolist()))
        for log_probs, z_scores in at_answers(
            network, sequences, _log_probs_and_z, context_length=context_length, batch_tokens=batch_tokens
        )
    ]


def _log_probs_and_z(logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    whole = logits.log_softmax(-1)
    probabilities = whole.exp()
    own = whole.gather(-1, targets[:, None])[:, 0]
    # p log p is 0 where p underflows, whatever log p is.
    mean = torch.where(probabilities > 0, probabilities * whole, 0.0).sum(-1)
    # Around the mean: E[x^2] - mu^2 would cancel where the model is nearly certain.
    around = (whole - mean[:, None]).square()
    variance = torch.where(probabilities > 0, probabilities * around, 0.0).sum(-1)
    return own, (own - mean) / variance.clamp_min(_LEAST_VARIANCE).sqrt()


def gradient_norms(network: nn.Module, sequences: Sequences, *, context_length: int) -> list[float]:
    """Return, for each answer, the mean over parameter tensors of the 2-norm of its mean loss's gradient.

    One forward and backward pass a sequence, without dropout. Parameters that do not require gradients (those under
    an adapter) have none. No gradient is stored, and those that are there stay.

    Args:
        network: Causal language model of transformers.
        sequences: Pairs of prompt ids and answer ids.
        context_length: Most tokens the network takes, prompt and answer together.

    Raises:
        ConfigurationError: The weights are sharded, or none requires a gradient.
        DataError: A prompt or an answer is empty, or both together exceed the context.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tiny = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    >>> gradient_norms(tiny, [([1, 2], [3])], context_length=16)[0] > 0
    True
    """
    check_sequences(sequences, context_length)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if sharded_modules(network):
        raise ConfigurationError(
            "`attacks` with 'gradnorm' needs all weights on each process. Found sharded ones (FSDP2). Leave "
            "'gradnorm' out, or evaluate the exported model in one process."
        )
    if not parameters:
        raise ConfigurationError(
            "`attacks` with 'gradnorm' needs weights that require gradients. Found none. Call "
            "model.requires_grad_(), or leave 'gradnorm' out."
        )
    device = parameters[0].device
    found = []
    # Lightning evaluates in inference mode, in which nothing has a gradient.
    with eval_mode(network), torch.inference_mode(False), torch.enable_grad():
        for prompt, answer in sequences:
            ids = torch.tensor([[*prompt, *answer]], device=device)
            logits = network(input_ids=ids[:, :-1], use_cache=False).logits[0, len(prompt) - 1 :]
            loss = nn.functional.cross_entropy(logits.float(), ids[0, len(prompt) :])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            norms = [g.float().norm() for g in gradients if g is not None]
            found.append(float(torch.stack(norms).sum() / len(parameters)))
    return found
