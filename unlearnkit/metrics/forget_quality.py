"""Forget quality as a torchmetrics class; the test is in ``unlearnkit.metrics.functional.forget_quality``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.metrics.functional.forget_quality import KSResult, forget_quality
from unlearnkit.metrics.functional.memorisation import Values


class ForgetQuality(Metric):
    """p-value of the exact KS test between log truth ratios and the retrained model's (TOFU). Up.

    Args:
        reference: Log truth ratios of the retrained model on the same forget rows, in any order.

    Attributes:
        result: After ``compute``: D, p, log10 p, both n and the floor of p.

    >>> metric = ForgetQuality(reference=[0.1, 0.2, 0.3])
    >>> metric.update([0.3, 0.1])
    >>> metric.update([0.2])
    >>> metric.compute().item(), metric.result.statistic
    (1.0, 0.0)
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = True
    ideal: str | None = None
    log_r: list[Tensor]

    def __init__(self, reference: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reference = [float(value) for value in reference]
        self.result: KSResult | None = None
        self.add_state("log_r", [], dist_reduce_fx="cat")
        # A rank without rows contributes an empty tensor of this type; rounding would also make ties.
        self.set_dtype(torch.float64)

    def update(self, log_r: Values) -> None:
        """Add ``[rows]`` log truth ratios of the unlearned model (``log_truth_ratio``)."""
        self.log_r.append(torch.as_tensor(log_r, dtype=torch.float64, device=self.device))

    def compute(self) -> Tensor:
        """Return the exact p-value, a float64 scalar.

        Raises:
            DataError: Fewer than two rows, or NaN among them.
            MismatchError: Not as many rows as the reference has.
        """
        # After a reduction over ranks the state is one tensor.
        parts = [self.log_r] if isinstance(self.log_r, Tensor) else self.log_r
        self.result = forget_quality([value for part in parts for value in part.tolist()], self.reference)
        return torch.tensor(self.result.p, dtype=torch.float64)
