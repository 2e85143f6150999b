"""What RMU's two sides share: hidden states, and their squared distance to where they shall be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.base import Parity, PerSample


def hidden_states(model: Any, batch: Any, layer: int) -> tuple[Tensor, Tensor]:
    """Return a block's output [batch, tokens, width] in fp32 or wider, and the mask of answer tokens [batch, tokens].

    Raises:
        ConfigurationError: The model does not show its hidden states.
    """
    found = getattr(model, "hidden_states", None)
    if not callable(found):
        raise ConfigurationError(
            "`model` must offer hidden_states(batch, layer) for RMU. Found a "
            f"{type(model).__name__}, which does not. Use CausalLM; with cache_reference=false."
        )
    hidden, mask = found(batch, layer)
    return hidden.to(torch.promote_types(hidden.dtype, torch.float32)), mask


def mean_squares(hidden: Tensor, wanted: Tensor, mask: Tensor, parity: Parity) -> PerSample:
    """Return each sample's squared distance a component, averaged over its tokens, and 1 for each with a token.

    Args:
        hidden: [batch, tokens, width].
        wanted: Broadcastable to the same shape.
        mask: [batch, tokens], boolean.
        parity: ``open-unlearning`` multiplies each sample's sum by the mean of all samples' 1/n, as its broadcast of
            [batch] by [batch, 1] does.

    >>> zeros, mask = torch.zeros(2, 5, 1), torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    >>> mean_squares(zeros, torch.ones(1), mask, "paper").sums.tolist()
    [1.0, 1.0]
    """
    sums = ((hidden - wanted).square().mean(-1) * mask).sum(-1)
    counts = mask.sum(-1)
    inverse = 1.0 / counts.clamp_min(1).to(sums.dtype)
    if parity == "open-unlearning" and len(counts):
        return PerSample(sums * inverse.mean(), torch.ones_like(sums))
    return PerSample(sums * inverse, (counts > 0).to(sums.dtype))
