"""Two tiny sequences with fixed logits, and their losses computed independently in numpy.

``z[b, t, v] = sin(1 + 7b + 3t + 2v)`` and ``z_ref[b, t, v] = cos(b + 2t + v) / 2`` for 2 sequences of 5
tokens over a vocabulary of 4; labels are not shifted, so the first row scores 3 tokens, the second 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlearnkit.models import CausalLM

LABELS = torch.tensor([[-100, -100, 2, 1, 3], [-100, 0, 3, -100, -100]])

COUNTS = [3, 2]
NLL_SUMS = [3.59040380, 3.28348247]
REFERENCE_NLL_SUMS = [4.96624442, 1.89987033]
NLL_TOKEN_MEAN = 1.3747772533
NLL_MEAN_OF_SEQUENCE_MEANS = 1.4192712501
NPO_BETA_01 = 13.9066116478
KL_MASKED_AND_SHIFTED = 0.3332883246
KL_ALL_POSITIONS = 0.3123382042


class GivenLogits(CausalLM):
    """The real ``token_losses``, ``losses``, ``counts`` and ``units`` on logits that are given."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, batch):
        return self.values


def batch() -> dict[str, Tensor]:
    """Return the token batch; what the ids are does not matter, since the logits are given."""
    ids = torch.where(LABELS == -100, 1, LABELS)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": LABELS,
        "index": torch.arange(2),
    }


def current() -> GivenLogits:
    """Return the model."""
    b, t, v = torch.meshgrid(*(torch.arange(n).double() for n in (2, 5, 4)), indexing="ij")
    return GivenLogits(torch.sin(1 + 7 * b + 3 * t + 2 * v))


def reference() -> GivenLogits:
    """Return the reference model."""
    b, t, v = torch.meshgrid(*(torch.arange(n).double() for n in (2, 5, 4)), indexing="ij")
    return GivenLogits(0.5 * torch.cos(b + 2 * t + v))


SIMNPO_BETA_45 = 0.0011533646
WGA_BETA_1 = -0.3088210040
SATIMP_5_1 = -0.0047574813
ME_MASKED = 0.2403422353
CEU_SKIP_0 = 1.3291306149
CEU_SKIP_1 = 1.1011006323
UNDIAL_BETA_10 = 1.7470990779
DPO_WIN_1_LOSE_0 = 16.8121599241
AP_ANSWER_0_REFUSAL_1 = 7.0861099345
PDU_AS_CODED = 0.6336131552
RMU_AS_CODED, RMU_EXACT = 2.275, 1.75


class RowLogits(GivenLogits):
    """The logits of the two sequences, looked up by index, for batches that hold one of them or answer with another."""

    def forward(self, batch):
        return self.values[batch["index"]]


def row_batch(row: int) -> dict[str, Tensor]:
    """Return one of the two sequences as a batch."""
    return {name: value[row : row + 1] for name, value in batch().items()}


def pair(answer: int, alternative: int) -> dict:
    """Return one sequence as the answer with the other as its second answer."""
    return row_batch(answer) | {"alternative": row_batch(alternative)}


def loss(value) -> float:
    """Return an objective's loss on a whole batch."""
    return (value.sums.sum() / value.counts.sum()).item()
