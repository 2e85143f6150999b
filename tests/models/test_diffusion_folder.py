"""Folders of diffusion models: back bit for bit, read by plain diffusers; DiT pipelines of others; broken ones."""

from __future__ import annotations

import json
import shutil

import huggingface_hub.constants
import pytest
import torch

from tests.models.diffusion_parts import COLOUR, GREY, LATENT, batch, built, save_vae
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ArtifactError, ConfigurationError, DataNotFoundError
from unlearnkit.models import DiffusionModel
from unlearnkit.models.denoising_networks import denoise
from unlearnkit.models.diffusion_folder import DESCRIPTION
from unlearnkit.models.diffusion_library import diffusers_library

CLASSES = torch.tensor([0, 3, 4])


@pytest.mark.parametrize(
    ("kind", "traits", "arguments"),
    [
        ("unet", GREY, {}),
        ("unet", COLOUR, {"schedule": "squaredcos_cap_v2", "timesteps": 100}),
        ("dit", COLOUR, {"learned_variance": True, "timesteps": 50}),
    ],
)
def test_a_folder_comes_back_bit_for_bit(tmp_path, kind, traits, arguments):
    model, given = built(kind, traits, **arguments), batch(traits=traits)
    folder = str(tmp_path / "model")
    model.save(folder)
    loaded = DiffusionModel(folder)
    assert loaded.built and loaded.network.training and loaded.origin == folder
    loaded.materialize(traits)
    assert (loaded.traits, loaded.timesteps) == (traits, model.timesteps)
    assert torch.equal(loaded.losses(given), model.losses(given))
    assert torch.equal(loaded.sample(CLASSES, steps=3), model.sample(CLASSES, steps=3))
    assert {name: (p.dtype, p.requires_grad) for name, p in loaded.named_parameters()} == {
        name: (p.dtype, p.requires_grad) for name, p in model.named_parameters()
    }
    with pytest.raises(ConfigurationError, match="classes, channels and height"):
        loaded.materialize(ImageTraits(9, 1, 8))
    loaded.save(folder)
    assert torch.equal(DiffusionModel(folder).losses(given), model.losses(given))


def test_dropout_of_classes_and_reduction_are_the_ones_asked_for(tmp_path):
    built(class_dropout=1.0, reduction="sum").save(tmp_path / "model")
    loaded = DiffusionModel(str(tmp_path / "model"), class_dropout=0.0)
    found = loaded.noised(batch())
    assert torch.equal(found.conditions, batch()["targets"]) and loaded.counts(batch()).tolist() == [64] * 4


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_plain_diffusers_reads_the_components(tmp_path, kind):
    model = built(kind, learned_variance=True)
    model.save(tmp_path / "model")
    diffusers = diffusers_library()
    plain = {"unet": diffusers.UNet2DModel, "dit": diffusers.DiTTransformer2DModel}[kind]
    network = plain.from_pretrained(tmp_path / "model", subfolder="network")
    given = torch.randn(2, 1, 8, 8), torch.tensor([5, 900]), torch.tensor([3, 10])
    with torch.no_grad():
        assert torch.equal(denoise(network, *given), denoise(model.network.eval(), *given))
    scheduler = diffusers.DDIMScheduler.from_pretrained(tmp_path / "model", subfolder="scheduler")
    assert torch.equal(scheduler.alphas_cumprod, model.scheduler.alphas_cumprod)


def test_the_autoencoder_goes_along(tmp_path):
    vae = save_vae(tmp_path / "vae")
    model = built("dit", LATENT, vae=vae)
    expected = model.sample(torch.tensor([1]), steps=2)
    model.save(tmp_path / "model")
    shutil.rmtree(vae)
    assert torch.equal(DiffusionModel(str(tmp_path / "model")).sample(torch.tensor([1]), steps=2), expected)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_dit_pipeline_of_diffusers_is_taken(tmp_path, legacy):
    """Folders on the hub, facebook/DiT-XL-2-256 among them, name the class that DiT had before: Transformer2DModel."""
    diffusers = diffusers_library()
    save_vae(tmp_path / "vae")
    torch.manual_seed(0)
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=8,
        num_embeds_ada_norm=1000,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL.from_pretrained(tmp_path / "vae")
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    pipeline = diffusers.DiTPipeline(network, vae, scheduler, id2label={"0": "tench"})
    pipeline.save_pretrained(tmp_path / "dit")
    if legacy:
        path = tmp_path / "dit" / "transformer" / "config.json"
        config = json.loads(path.read_text()) | {
            "_class_name": "Transformer2DModel",
            "attention_type": "default",
        }
        path.write_text(json.dumps(config))
    model = DiffusionModel(str(tmp_path / "dit"))
    assert model.traits == ImageTraits(1000, 4, 8) and model.null_class == 1000
    given = torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.tensor([3, 1000])
    with torch.no_grad():
        assert torch.equal(model.predict(*given), denoise(network.eval(), *given)[:, :4])
    losses = model.losses(
        {"inputs": torch.randn(2, 4, 8, 8), "targets": torch.tensor([3, 4]), "keys": torch.tensor([1, 2])}
    )
    assert losses.isfinite().all()
    assert model.sample(torch.tensor([207]), steps=2, sampler="ddpm").shape == (1, 3, 16, 16)
    model.save(tmp_path / "own")
    assert DiffusionModel(str(tmp_path / "own")).traits == model.traits


def test_the_hub_out_of_reach_names_the_way_without_it(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataNotFoundError, match=r"Found 'nobody/DiT-XL-2-256'.*use shape=dit-xl-2-256 "):
        DiffusionModel("nobody/DiT-XL-2-256")


def test_folders_that_are_not_whole_are_refused(tmp_path):
    with pytest.raises(DataNotFoundError, match=f"`name` must be a folder .* with {DESCRIPTION}"):
        DiffusionModel(str(tmp_path))
    folder = tmp_path / "model"
    built().save(folder)
    description = folder / DESCRIPTION
    whole = description.read_text()
    for broken in (
        "[]",
        json.dumps(json.loads(whole) | {"format": 2}),
        json.dumps(json.loads(whole) | {"classes": "ten"}),
    ):
        description.write_text(broken)
        with pytest.raises(ArtifactError, match="must describe a diffusion model in format 1"):
            DiffusionModel(str(folder))
    description.write_text(json.dumps(json.loads(whole) | {"classes": 9}))
    with pytest.raises(ArtifactError, match=r"\(10, 1, 8\) of its network .* Found \(9, 1, 8\)"):
        DiffusionModel(str(folder))
    description.write_text(whole)
    config = folder / "network" / "config.json"
    kept = config.read_text()
    config.write_text(kept.replace("UNet2DModel", "UNet1DModel"))
    with pytest.raises(ArtifactError, match="network of kind UNet2DModel or DiT.*Found 'UNet1DModel'"):
        DiffusionModel(str(folder))
    config.write_text(kept)
    weights = folder / "network" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="`name` must be a folder with whole weights"):
        DiffusionModel(str(folder))


def test_a_network_without_one_of_its_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    built().save(tmp_path / "model")
    weights = tmp_path / "model" / "network" / "diffusion_pytorch_model.safetensors"
    kept = load_file(weights)
    del kept["conv_in.weight"]
    save_file(kept, weights)
    with pytest.raises(ArtifactError, match="must hold all weights .* Found none of conv_in.weight"):
        DiffusionModel(str(tmp_path / "model"))
