"""Latents of images: what an autoencoder makes of them, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnkit.artifacts import content_hash
from unlearnkit.datamodules.image_files import ImageSet
from unlearnkit.errors import ConfigurationError, DataNotFoundError, MissingDependencyError

BATCH = 32
"""Images that are encoded at a time."""


class Encoder:
    """An ``AutoencoderKL`` of diffusers, and the latents that it makes of images.

    A latent is the mean of the encoder's distribution times the autoencoder's scaling factor, without noise of that
    distribution, which is small beside it.

    Args:
        vae: Folder of an autoencoder, or its name on the hub.
        folder: Where latents are kept; None takes ``unlearnkit/latents`` in the user's cache.

    Raises:
        DataNotFoundError: There is no autoencoder of that name, or the hub is out of reach.
        MissingDependencyError: diffusers is not installed.
    """

    def __init__(self, vae: str, folder: str | None = None) -> None:
        self.vae = _load(vae)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "unlearnkit" / "latents"
        self.folder = Path(cache if folder is None else folder).expanduser()

    def digest(self) -> str:
        """Return 16 hexadecimal digits of the weights and the scaling factor."""
        content = hashlib.sha256(str(self.vae.config.scaling_factor).encode())
        for name, value in sorted(self.vae.state_dict().items()):
            content.update(name.encode())
            content.update(value.contiguous().numpy().tobytes())
        return content.hexdigest()[:16]

    def latents(self, images: ImageSet) -> Tensor:
        """Return the latents [n, channels, height, width], fp32; read from the file where there is one.

        Args:
            images: With as many channels as the autoencoder takes.

        Raises:
            ConfigurationError: The autoencoder takes other channels, or images of another height.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file, save

        self._check(images.images)
        file = self.folder / f"{content_hash([images.digest, self.digest()])}.safetensors"
        try:
            return load_file(file)["latents"]
        except (OSError, KeyError, SafetensorError):  # not there, or half of it: it is made again
            found = self._encoded(images.images)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(save({"latents": found}))
            os.replace(temporary, file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return found

    @torch.inference_mode(
        False
    )  # a trainer that tests would otherwise leave tensors that nothing can be trained on
    @torch.no_grad()
    def _encoded(self, images: Tensor) -> Tensor:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        vae = self.vae.to(device).eval()
        parts = []
        for part in torch.split(images, BATCH):
            pixels = part.to(device, torch.float32) / 127.5 - 1
            parts.append((vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor).cpu())
        self.vae.to("cpu")
        return torch.cat(parts).contiguous()

    def _check(self, images: Tensor) -> None:
        config = self.vae.config
        factor = 2 ** (len(config.block_out_channels) - 1)
        _, channels, height, _ = images.shape
        if channels != config.in_channels or height % factor:
            raise ConfigurationError(
                f"`vae` must take the images: {config.in_channels} channels, a height that is a multiple of {factor}. "
                f"Found {channels} channels and a height of {height}. Set `size`, or use another autoencoder."
            )


def _load(vae: str) -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise MissingDependencyError.extra("diffusers", "diffusion") from error
    folder = Path(vae).expanduser()
    load: Any = AutoencoderKL.from_pretrained
    try:
        found = load(str(folder) if folder.is_dir() else vae)
    except Exception as error:  # the hub's errors are of many kinds, and so are those of broken files
        raise DataNotFoundError(
            "`vae` must be a folder of an autoencoder of diffusers, or its name on the hub. Found "
            f"{vae!r}, which could not be loaded ({str(error).partition(chr(10))[0]}). Offline, give a folder."
        ) from error
    return found.requires_grad_(False)
