"""What a classifier says of one set of images, as logarithms, and whether it says anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """What a model says of one set, on the CPU in the set's order.

    Attributes:
        log_probabilities: [n, classes], nats: a probability in fp32 has no logarithm below -103.
        labels: [n].
        index: Row of each image, [n].
    """

    log_probabilities: Tensor
    labels: Tensor
    index: Tensor

    @cached_property
    def answered(self) -> Tensor:
        """Whether a model that may have diverged gave an answer, [n] bool."""
        return ~self.log_probabilities.isnan().any(-1)

    @cached_property
    def right(self) -> Tensor:
        """1 where the answer is the label, [n] float64; no answer is not right by chance."""
        return ((self.log_probabilities.argmax(-1) == self.labels) & self.answered).double()

    @property
    def losses(self) -> Tensor:
        """Negative log-likelihood of each label, [n] float64, nats."""
        return -self.log_probabilities.gather(-1, self.labels[:, None])[:, 0].double()

    @property
    def probabilities(self) -> Tensor:
        """[n, classes] float64."""
        return self.log_probabilities.double().exp()
