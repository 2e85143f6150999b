"""Small diffusion models and batches that several tests share."""

from __future__ import annotations

import torch

from unlearnkit.batches import ImageTraits
from unlearnkit.keyed_draws import row_keys
from unlearnkit.models import DiffusionModel

GREY, COLOUR, LATENT = ImageTraits(10, 1, 8), ImageTraits(5, 3, 16), ImageTraits(7, 4, 8)

SMALL = {
    "unet": {"network": "unet", "width": 8},
    "dit": {"network": "dit", "width": 16, "layers": 2, "heads": 2},
}


def built(kind="unet", traits=GREY, stir=True, **arguments):
    """Build a model; where stirred, with random weights where DiT begins with zeros."""
    model = DiffusionModel(**SMALL[kind] | arguments)
    model.materialize(traits)
    if stir:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


def batch(n=4, traits=GREY, seed=0, **more):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, traits.channels, traits.height, traits.height)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    if traits is LATENT:
        images = torch.randn(shape, generator=generator)
    index = torch.arange(n)
    targets = torch.randint(traits.classes, (n,), generator=generator)
    return {"inputs": images, "targets": targets, "index": index, "keys": row_keys(seed, 0, index)} | more


def save_vae(folder, channels=4):
    """Write a tiny autoencoder of random weights that halves the height; return its folder."""
    from unlearnkit.models.diffusion_library import diffusers_library

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = diffusers_library().AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=channels, block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4, sample_size=16, scaling_factor=0.5,
        )  # fmt: skip
    vae.save_pretrained(folder)
    return str(folder)
