"""ClassConditionalPipeline: images by class, of pixels or latents, which diffusers' own pipelines cannot draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.keyed_draws import row_keys
from unlearnkit.models.denoising_networks import null_class
from unlearnkit.models.diffusion_library import diffusers_library
from unlearnkit.models.diffusion_sampling import (
    Sampler,
    check_classes,
    check_protocol,
    decoded,
    evaluating,
    sample_values,
)

_DiffusionPipeline: Any = diffusers_library().DiffusionPipeline


class ClassConditionalPipeline(_DiffusionPipeline):  # type: ignore[misc]
    """Draw images of given classes; ``DiffusionModel.save`` writes its folder, ``from_pretrained`` reads it.

    Args:
        network: ``UNet2DModel`` or ``DiTTransformer2DModel`` whose last class says that none is asked for.
        scheduler: With the schedule that the network was trained with.
        vae: ``AutoencoderKL`` that decodes latents; None for pixels.

    >>> from unlearnkit.batches import ImageTraits
    >>> from unlearnkit.models.denoising_networks import small_shape
    >>> from unlearnkit.models.noise_schedule import build_scheduler
    >>> network = small_shape("unet", width=8, multipliers=[1]).build(ImageTraits(10, 1, 8))
    >>> pipeline = ClassConditionalPipeline(network, build_scheduler())
    >>> pipeline([3, 3], num_inference_steps=2).shape
    torch.Size([2, 1, 8, 8])
    """

    _optional_components = ["vae"]  # noqa: RUF012  (diffusers reads the list from the class)

    def __init__(self, network: Any, scheduler: Any, vae: Any = None) -> None:
        super().__init__()
        self.register_modules(network=network, scheduler=scheduler, vae=vae)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: list[int] | Tensor,
        *,
        num_inference_steps: int = 50,
        guidance: float = 0.0,
        eta: float = 0.0,
        sampler: Sampler = "ddim",
        seed: int = 0,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Return images, [n, channels, height, width] uint8, a function of the classes and of keys or seed.

        Args:
            class_labels: Class of each image; the number of classes asks for none.
            num_inference_steps: Number of steps.
            guidance: s in ``eps = (1 + s) eps(x, c) - s eps(x, null)``: 0 is conditional alone, and diffusers'
                ``guidance_scale`` is 1 + s.
            eta: Noise of DDIM's steps, 0 to 1.
            sampler: ``ddim`` or ``ddpm``.
            seed: Of the images' draws.
            keys: What each image's draws are made of, [n], int64; None makes them from the seed.

        Raises:
            ConfigurationError: There is no such class, or a number is out of its range.
        """
        device = next(self.network.parameters()).device
        classes = torch.as_tensor(class_labels, dtype=torch.int64, device=device)
        check_protocol(self.scheduler.config.num_train_timesteps, num_inference_steps, guidance, eta, sampler)
        check_classes(classes, null_class(self.network))
        if keys is None:
            keys = row_keys(seed, -1, torch.arange(len(classes), device=device))
        with evaluating(self.network):
            values = sample_values(
                self.network, self.scheduler, classes, keys.to(device), steps=num_inference_steps,
                guidance=guidance, eta=eta, sampler=sampler,
            )  # fmt: skip
        return decoded(values, self.vae)
