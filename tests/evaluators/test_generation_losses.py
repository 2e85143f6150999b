"""Denoising losses of the sets: means over values, rows that are spread, a model that diverged."""

from __future__ import annotations

import pytest
import torch

from tests.evaluators.generation_stand_ins import DrawsRealImages
from unlearnkit.datamodules import DiffusionImages
from unlearnkit.errors import DataError
from unlearnkit.evaluators.generation_losses import denoising_losses
from unlearnkit.keyed_draws import normal
from unlearnkit.models.diffusion_model import DiffusionModel


@pytest.fixture(scope="module")
def data():
    data = DiffusionImages("digits")
    data.setup()
    return data


def test_means_are_over_values_whatever_the_batches(data):
    model = DrawsRealImages(*data.real_images("retain"))
    found = denoising_losses(model, data, None, 7, (0, 1))
    images, labels = data.real_images("test")
    sets = {
        "forget_loss": data.collate(list(data.split.forget))["inputs"],
        "retain_loss": data.collate(list(data.split.retain))["inputs"],
        "test_loss": images[labels != 3],
    }
    for name, pixels in sets.items():
        assert found.means[name] == pytest.approx(
            (pixels.double() / 255 - 0.5).square().mean().item(), rel=1e-5
        )
    assert found.n == {"forget": 62, "retain": len(data.split.retain), "test": int((labels != 3).sum())}
    assert found.failure is None and model.training
    again = denoising_losses(model, data, None, 64, (0, 1))
    assert again.hashes == found.hashes and again.means == pytest.approx(found.means)


def test_a_diffusion_model_is_told_the_class_of_each_image(data):
    model = DiffusionModel(width=8, multipliers=[1], class_dropout=1.0)
    model.materialize(data.traits)
    found = denoising_losses(model, data, 20, 64, (0, 1)).means
    batch = data.collate([data.split.forget[place * 62 // 20] for place in range(20)])
    noise = normal(batch["keys"], 12, (1, 8, 8))
    with torch.no_grad():
        error = model.predict(*model.noised(batch, batch["targets"])[:2], batch["targets"]) - noise
    assert found["forget_loss"] == pytest.approx(error.square().mean().item(), rel=1e-5)


def test_some_rows_of_each_set(data):
    model = DrawsRealImages(*data.real_images("retain"))
    found = denoising_losses(model, data, 10, 64, (0, 1))
    assert found.n == {"forget": 10, "retain": 10, "test": 10}
    assert found.hashes != denoising_losses(model, data, 11, 64, (0, 1)).hashes


def test_a_loss_that_is_no_number_is_said(data):
    model = DrawsRealImages(*data.real_images("retain"))
    with torch.no_grad():
        model.level.fill_(float("inf"))
    found = denoising_losses(model, data, 3, 64, (0, 1))
    assert found.means == {"forget_loss": None, "retain_loss": None, "test_loss": None}
    assert found.failure == (
        "the denoising loss is not a number for 3 of 3 forget images, 3 of 3 retain images, 3 of 3 test images: "
        "it diverged"
    )


def test_an_empty_set_is_refused(data, monkeypatch):
    monkeypatch.setattr(data, "evaluation_samples", lambda name: [])
    with pytest.raises(DataError, match="`forget` must hold at least one image"):
        denoising_losses(DrawsRealImages(*data.real_images("retain")), data, 3, 64, (0, 1))
