"""A tiny random autoencoder of diffusers in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def tiny_autoencoder(folder: Path, channels: int = 3, seed: int = 0) -> Any:
    """Save an ``AutoencoderKL`` that halves the height and makes four channels, and return it."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae: Any = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            latent_channels=4,
            block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        )
    vae.save_pretrained(folder)
    return vae.eval().requires_grad_(False)
