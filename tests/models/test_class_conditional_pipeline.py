"""ClassConditionalPipeline: what a DiffusionModel draws, from its folder, in plain diffusers."""

from __future__ import annotations

import pytest
import torch

from tests.models.diffusion_parts import GREY, LATENT, built, save_vae
from unlearnkit.errors import ConfigurationError
from unlearnkit.models.class_conditional_pipeline import ClassConditionalPipeline

PROTOCOL = {"guidance": 1.5, "eta": 0.5, "seed": 3}


@pytest.mark.parametrize("traits", [GREY, LATENT])
@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_it_draws_what_the_model_draws(tmp_path, kind, traits):
    vae = save_vae(tmp_path / "vae") if traits is LATENT else None
    model = built(kind, traits, vae=vae)
    model.save(tmp_path / "model")
    pipeline = ClassConditionalPipeline.from_pretrained(tmp_path / "model")
    found = pipeline([3, 0], num_inference_steps=3, **PROTOCOL)
    assert torch.equal(found, model.sample(torch.tensor([3, 0]), steps=3, **PROTOCOL))
    assert found.shape == ((2, 1, 8, 8) if vae is None else (2, 3, 16, 16)) and found.dtype == torch.uint8


def test_a_pipeline_saved_by_diffusers_comes_back(tmp_path):
    model = built()
    pipeline = ClassConditionalPipeline(model.network, model.scheduler)
    pipeline.save_pretrained(tmp_path / "pipeline")
    again = ClassConditionalPipeline.from_pretrained(tmp_path / "pipeline")
    keys = torch.tensor([5, 6])
    first, second = (one([1, 2], num_inference_steps=2, keys=keys) for one in (pipeline, again))
    assert torch.equal(first, second)


def test_it_refuses_what_the_model_refuses():
    model = built()
    pipeline = ClassConditionalPipeline(model.network, model.scheduler)
    with pytest.raises(ConfigurationError, match="`classes` must lie from 0 to 9, or be 10"):
        pipeline([11])
    with pytest.raises(ConfigurationError, match="`steps` must lie from 1 to 1000"):
        pipeline([1], num_inference_steps=0)
