"""Layers with running statistics are found, held and let go."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.models.batch_statistics import statistics_layers, still_statistics


def test_layers_of_every_kind_are_found() -> None:
    kinds = [
        nn.BatchNorm1d(2),
        nn.BatchNorm2d(2, affine=False),
        nn.BatchNorm3d(2),
        nn.SyncBatchNorm(2),
        nn.InstanceNorm2d(2, track_running_stats=True),
    ]
    none = [
        nn.LayerNorm(2),
        nn.GroupNorm(1, 2),
        nn.InstanceNorm2d(2),
        nn.BatchNorm2d(2, track_running_stats=False),
    ]
    assert statistics_layers(nn.Sequential(*kinds, *none)) == kinds


def test_statistics_stand_still_and_modes_come_back_after_an_error() -> None:
    frozen, training, shared = nn.BatchNorm1d(2).eval(), nn.BatchNorm1d(2), nn.SyncBatchNorm(2)
    model = nn.Sequential(frozen, training, nn.Dropout())
    with still_statistics(nn.Sequential(model, shared)):
        assert not training.training and shared.training and model[2].training
        model(torch.randn(1, 2))
    assert training.training and not frozen.training
    with pytest.raises(ValueError, match="expected 2D or 3D"), still_statistics(model):
        model(torch.randn(2))
    assert training.training and not frozen.training
    assert not training.running_mean.any() and training.num_batches_tracked == 0
