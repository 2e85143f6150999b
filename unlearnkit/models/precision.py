"""Which precision losses are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def widened(logits: Tensor) -> Tensor:
    """Return half-precision logits in fp32, others as they are: a softmax over many classes needs the digits.

    >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype, widened(torch.zeros(1, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
