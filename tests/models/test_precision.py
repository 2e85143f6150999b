"""Losses are computed in fp32 at least."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.models.precision import widened


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_becomes_fp32(dtype):
    assert widened(torch.ones(2, dtype=dtype)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_types_are_left_alone_without_a_copy(dtype):
    logits = torch.ones(2, dtype=dtype)
    assert widened(logits) is logits
