"""Perplexities under their own names as torchmetrics classes; see ``unlearnkit.metrics.functional.perplexity``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional.perplexity import exp


class OwnPerplexity(Metric):
    """Perplexity of texts under the model that is evaluated. Down, for texts that are given.

    Of its own generations it is low for a model that repeats itself: see ``ReferencePerplexity``.

    >>> metric = OwnPerplexity()
    >>> metric.update(nll=[0.0, 2.772588722239781], tokens=[4, 4])
    >>> round(metric.compute().item(), 6)
    1.414214
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = False
    ideal: str | None = None
    total: Tensor
    tokens: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Sequence[float], tokens: Sequence[int]) -> None:
        """Add ``[texts]`` negative log-likelihoods, nats, and how many tokens each runs over.

        Raises:
            MismatchError: Unequal numbers of texts.
        """
        if len(nll) != len(tokens):
            raise MismatchError(
                f"`tokens` must have one number for each of `nll`. Found {len(tokens)} for {len(nll)}. Pass the "
                "same texts."
            )
        self.total += torch.tensor(list(nll), dtype=torch.float64).sum().to(self.total.device)
        self.tokens += sum(tokens)

    def compute(self) -> Tensor:
        """Return the perplexity, a float64 scalar.

        Raises:
            DataError: No tokens were added on any rank.
        """
        if not self.tokens:
            raise DataError(
                f"`{type(self).__name__}` must have seen at least one token. Found none. Call update before compute."
            )
        return torch.tensor(exp(float(self.total / self.tokens)), dtype=torch.float64)


class ReferencePerplexity(OwnPerplexity):
    """Perplexity of a model's generations under another, fixed model. Down.

    Numbers are comparable only under the same other model; name it beside them.
    """
