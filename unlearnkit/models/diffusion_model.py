"""DiffusionModel: a class-conditional diffusion model behind the one model protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from unlearnkit.batches import ImageTraits, LabelledBatch
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.keyed_draws import integers, normal, row_keys, uniform
from unlearnkit.models.denoising_networks import (
    Network,
    chosen_shape,
    denoise,
    kind_of,
)
from unlearnkit.models.diffusion_folder import Parts, Reduction, VAESource, load_parts, load_vae, save_parts
from unlearnkit.models.diffusion_sampling import (
    Sampler,
    check_classes,
    check_protocol,
    decoded,
    evaluating,
    require_batch_size,
    sample_values,
)
from unlearnkit.models.learned_variance import variational_bound
from unlearnkit.models.noise_schedule import Noised, Schedule, build_scheduler, with_noise
from unlearnkit.models.precision import widened

STEP, NOISE, DROP = 11, 12, 13
"""Streams of a key: the time step, the noise, and whether the class is dropped."""


class DiffusionModel(nn.Module):
    """Denoise images of a class: bytes (or latents) and keys in, predicted noise out.

    Everything random about a sample's loss - time step, noise, whether the class is dropped - is a function of the
    sample's key alone (``batch["keys"]``), in train and in eval mode: so probes, resumed runs, several processes and
    micro-batches see the same noise. The network is built as soon as the data are known (``materialize``), or loaded by
    name. Pixels are brought from bytes to [-1, 1] here; inputs in floating point are taken as they are.

    Args:
        name: Folder of a saved model, or a DiT pipeline of diffusers by folder or name on the hub
            (``facebook/DiT-XL-2-256``), in place of ``shape`` and sizes; None builds a network.
        network: ``unet`` or ``dit``, in a small size.
        shape: Name of a packaged network in the size of its paper, with random weights, in place of ``network``.
        width: Channels of the U-Net's first level (16), or components of the DiT's tokens (64).
        layers: Residual blocks a level of the U-Net (1), or blocks of the DiT (4).
        multipliers: Width of each level of the U-Net in widths ([1, 2]); each has half the height of the one before.
        heads: Attention heads of the DiT (4).
        patch_size: Height of the DiT's patches, in pixels (2).
        dropout: Share of activations dropped inside blocks, in train mode.
        timesteps: Steps of the forward process.
        schedule: ``linear`` or ``squaredcos_cap_v2``.
        class_dropout: Share of samples whose class the network is not told, so that sampling can be guided.
        learned_variance: Whether the network also predicts the variance of the backward steps, by a bound in the loss;
            None takes the shape's, or false.
        reduction: ``mean`` has a sample count as many units as it has values, so that a loss is the mean over values;
            ``sum`` as one: DDPM's code.
        vae: Folder or name of the ``AutoencoderKL`` that decodes samples, where the inputs are latents.
        seed: Seed of the weights built from scratch.

    Raises:
        DataNotFoundError: The name is neither a folder nor to be had from the hub.
        ArtifactError: The folder holds a broken model.
        ConfigurationError: A number is out of its range, or sizes and shape contradict each other.
        UnknownNameError: A name is not one of those above.

    >>> model = DiffusionModel(width=8, multipliers=[1])
    >>> model.materialize(ImageTraits(classes=10, channels=1, height=8))
    >>> images, targets = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])
    >>> batch = {"inputs": images, "targets": targets, "keys": row_keys(0, 0, torch.arange(2))}
    >>> model.losses(batch).shape, model.counts(batch).tolist()
    (torch.Size([2]), [64, 64])
    """

    network: nn.Module
    scheduler: Any

    def __init__(
        self,
        name: str | None = None,
        *,
        network: Network = "unet",
        shape: str | None = None,
        width: int | None = None,
        layers: int | None = None,
        multipliers: list[int] | None = None,
        heads: int | None = None,
        patch_size: int | None = None,
        dropout: float = 0.0,
        timesteps: int = 1000,
        schedule: Schedule = "linear",
        class_dropout: float = 0.1,
        learned_variance: bool | None = None,
        reduction: Reduction = "mean",
        vae: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= class_dropout <= 1:
            raise ConfigurationError(
                f"`class_dropout` must lie in [0, 1], a share of samples. Found {class_dropout}. Use e.g. 0.1."
            )
        if reduction not in get_args(Reduction):
            raise UnknownNameError.among("reduction", reduction, get_args(Reduction))
        sizes = {
            "width": width, "layers": layers, "multipliers": multipliers, "heads": heads, "patch_size": patch_size,
        }  # fmt: skip
        self.name = name
        self.shape = chosen_shape(name, network, shape, sizes, dropout, learned_variance)
        self.class_dropout = class_dropout
        self.reduction: Reduction = reduction
        self.seed = seed
        self.traits: ImageTraits | None = None
        self._vae_source = None if vae is None else VAESource(vae)
        self._vae: list[Any] = []  # in a list, it is no part of the model: neither trained nor checkpointed
        if name is not None:
            self._adopt(load_parts(name))
        else:
            build_scheduler(timesteps, schedule)  # what is wrong with them is to be said now
        self._schedule: tuple[int, Schedule] = (timesteps, schedule)

    def _adopt(self, parts: Parts) -> None:
        self.traits, self.scheduler = parts.traits, parts.scheduler
        self._vae_source = self._vae_source or parts.vae
        self.network = parts.network.train()

    @property
    def built(self) -> bool:
        """Whether the network is there."""
        return "network" in self._modules

    @property
    def origin(self) -> str:
        """Where the weights come from: ``from scratch``, or a folder or name."""
        return self.name or "from scratch"

    @property
    def timesteps(self) -> int:
        """Number of steps of the forward process."""
        return int(self.scheduler.config.num_train_timesteps) if self.built else self._schedule[0]

    @property
    def null_class(self) -> int:
        """The class that says that none is asked for: the number of classes; known once it is built."""
        return self._known().classes

    def _known(self) -> ImageTraits:
        if self.traits is None:
            raise ConfigurationError(
                "`model` must be built before it is used. Found DiffusionModel without a network. Call "
                ".materialize(datamodule.traits) first."
            )
        return self.traits

    def materialize(self, traits: ImageTraits, weights: bool = True) -> None:
        """Build the network for these data; a loaded or built one stays as it is.

        Args:
            traits: What the data (or their latents) are like.
            weights: Whether published weights would be loaded; there are none to load here.

        Raises:
            ConfigurationError: The network has other classes, channels or another height, or cannot take that height.
        """
        if self.traits is not None:
            if self.traits != traits:
                raise ConfigurationError(
                    f"`model` must have the data's classes, channels and height "
                    f"({traits.classes}, {traits.channels}, {traits.height}). Found a network with "
                    f"({self.traits.classes}, {self.traits.channels}, {self.traits.height}). "
                    "Use the data it was trained on, or build a new one."
                )
            return
        pixels = self._vae_source is None and traits.channels in (1, 3)
        scheduler = build_scheduler(
            *self._schedule, learned_variance=self.shape.learned_variance, clip=pixels
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.shape.build(traits)
        self._adopt(Parts(network, scheduler, None, traits))

    def shard_units(self) -> list[nn.Module]:
        """Return the blocks, which FSDP2 shards one by one."""
        network: Any = self.network
        if kind_of(network) == "dit":
            # The last layer borrows the first block's embedding of time and class, outside that block's own call.
            return list(network.transformer_blocks)[1:]
        return [*network.down_blocks, network.mid_block, *network.up_blocks]

    # ------------------------------------------------------------------------------- protocol

    def noised(
        self, batch: LabelledBatch, condition: Tensor | None = None, inputs: Tensor | None = None
    ) -> Noised:
        """Return what the batch's keys make of it: x_t, t, eps and the classes that the network is told.

        Args:
            batch: With ``keys`` [batch] int64. Optional ``conditions`` [batch] are told in place of the targets, and
                none is dropped; optional ``steps`` [batch] int64 are taken in place of drawn ones.
            condition: As ``conditions``, before them.
            inputs: In place of the batch's own, with the same draws.

        Raises:
            ConfigurationError: There are no keys, or the inputs are none that the network takes.
        """
        found: Any = batch
        traits = self._known()
        images = self._values(found["inputs"] if inputs is None else inputs)
        if "keys" not in found:
            raise ConfigurationError(
                f"`batch` must hold `keys`, from which time steps and noise are drawn. Found {sorted(found)}. Use the "
                "data module DiffusionImages, or unlearnkit.keyed_draws.row_keys(seed, round, index)."
            )
        keys = found["keys"]
        steps = found.get("steps")
        if steps is None:
            steps = integers(keys, STEP, self.timesteps)
        noise = normal(keys, NOISE, tuple(images.shape[1:])).to(images.dtype)
        told = condition if condition is not None else found.get("conditions")
        if told is None:
            dropped = uniform(keys, DROP) < self.class_dropout
            told = torch.where(dropped, traits.classes, found["targets"])
        return Noised(with_noise(images, noise, steps, self._kept(images)), steps, noise, told)

    def predict(self, noised: Tensor, steps: Tensor, targets: Tensor) -> Tensor:
        """Return the predicted noise, [batch, channels, height, width], in the network's type.

        Args:
            noised: x_t, [batch, channels, height, width].
            steps: t, [batch], int64.
            targets: Classes that the network is told, [batch], int64; ``null_class`` tells none.
        """
        return self._outputs(noised, steps, targets)[:, : noised.shape[1]]

    def forward(self, batch: LabelledBatch) -> Tensor:
        """Return the noise predicted in the batch as its keys make it, [batch, channels, height, width]."""
        found = self.noised(batch)
        return self.predict(found.values, found.steps, found.conditions)

    def losses(self, batch: LabelledBatch) -> Tensor:
        """Return each sample's squared error of the noise, summed over its values, [batch], fp32 or wider.

        With a learned variance its bound is added, in bits, as in DiT.
        """
        found = self.noised(batch)
        channels = found.values.shape[1]
        output = widened(self._outputs(found.values, found.steps, found.conditions))
        noise, shares = output[:, :channels], output[:, channels:]
        error = (noise - found.noise).square().flatten(1).sum(1)
        if not shares.shape[1]:
            return error
        start = self._values(batch["inputs"])
        return error + variational_bound(start, found.values, found.steps, noise, shares, self._kept(start))

    def counts(self, batch: LabelledBatch) -> Tensor:
        """Return the number of values of each sample, or ones where ``reduction`` is ``sum``, [batch]."""
        values = batch["inputs"][0].numel() if len(batch["inputs"]) else 1
        return torch.full_like(batch["targets"], 1 if self.reduction == "sum" else values)

    def units(self, batch: LabelledBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Refuse: a diffusion model has no probabilities of classes.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "`objective` must be one of losses where the model is a DiffusionModel, which gives no probabilities of "
            "classes. Found one that asks for them. Use e.g. NLL, AscentNLL or WrongCondition."
        )

    def _values(self, inputs: Tensor) -> Tensor:
        """Return inputs as the network takes them, before noise, in fp32 or wider."""
        traits = self._known()
        wide = torch.promote_types(next(self.network.parameters()).dtype, torch.float32)
        expected = (traits.channels, traits.height, traits.height)
        if tuple(inputs.shape[1:]) != expected:
            raise ConfigurationError(
                f"`inputs` must have the channels, height and width of the network, {expected}. Found "
                f"{tuple(inputs.shape[1:])}. Use the data it was built for."
            )
        if inputs.dtype != torch.uint8:
            return inputs.to(wide)
        if self._vae_source is not None:
            raise ConfigurationError(
                "`inputs` must be latents where the model has a `vae`. Found bytes. Give the data the same `vae`, "
                "which stores latents, or leave it out of the model."
            )
        return inputs.to(wide) / 127.5 - 1

    def _kept(self, like: Tensor) -> Tensor:
        """Return abar of each step on a tensor's device, fp32."""
        self.scheduler.alphas_cumprod = self.scheduler.alphas_cumprod.to(like.device)
        kept: Tensor = self.scheduler.alphas_cumprod
        return kept

    def _outputs(self, noised: Tensor, steps: Tensor, conditions: Tensor) -> Tensor:
        """Return all the network's channels; an empty batch has gradients of zero."""
        size = len(noised)
        if not size:  # a rank without a sample must do what the others do
            noised = noised.new_zeros(1, *noised.shape[1:])
            steps, conditions = steps.new_zeros(1), conditions.new_zeros(1)
        outputs: Tensor = denoise(
            self.network, noised.to(next(self.network.parameters()).dtype), steps, conditions
        )
        return outputs if size else outputs[:0]

    # ------------------------------------------------------------------------------- sampling

    @torch.no_grad()
    def sample(
        self,
        classes: Tensor,
        *,
        steps: int = 50,
        guidance: float = 0.0,
        eta: float = 0.0,
        sampler: Sampler = "ddim",
        keys: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
    ) -> Tensor:
        """Return an image of each class, [n, channels, height, width] uint8, on the network's device.

        An image is a function of its class and key: the same in any batch, up to rounding.

        Args:
            classes: [n], int64; ``null_class`` asks for none.
            steps: Steps of the backward process.
            guidance: s in ``eps = (1 + s) eps(x, c) - s eps(x, null)``: 0 is conditional alone; elsewhere w = 1 + s.
            eta: Noise of DDIM's steps, from 0 (none) to 1 (the posterior's).
            sampler: ``ddim``, or ``ddpm``.
            keys: What each image's draws are made of, [n], int64; None makes them from ``seed`` and the places.
            seed: Of the keys.
            batch_size: Images drawn together.

        Raises:
            ConfigurationError: There is no such class, a number is out of its range, or latents have no ``vae``.
            UnknownNameError: There is no such sampler.
        """
        traits = self._known()
        check_protocol(self.timesteps, steps, guidance, eta, sampler)
        check_classes(classes, traits.classes)
        require_batch_size(batch_size)
        device = next(self.network.parameters()).device
        vae = self._decoder(device)
        if keys is None:
            keys = row_keys(seed, -1, torch.arange(len(classes), device=device))
        if not len(classes):
            return torch.empty(
                0, traits.channels, traits.height, traits.height, dtype=torch.uint8, device=device
            )
        drawn = []
        with evaluating(self.network):
            for start in range(0, len(classes), batch_size):
                own = slice(start, start + batch_size)
                values = sample_values(
                    self.network, self.scheduler, classes[own].to(device), keys[own].to(device), steps=steps,
                    guidance=guidance, eta=eta, sampler=sampler,
                )  # fmt: skip
                drawn.append(decoded(values, vae))
        return torch.cat(drawn)

    def _decoder(self, device: torch.device) -> Any:
        """Return the autoencoder on a device, loaded at first use, or None for pixels."""
        channels = self._known().channels
        if self._vae_source is None:
            if channels not in (1, 3):
                raise ConfigurationError(
                    f"`vae` must be given to decode samples that are no pixels. Found none with {channels} channels. "
                    "Give the autoencoder that made the latents, e.g. vae=stabilityai/sd-vae-ft-ema."
                )
            return None
        if not self._vae:
            self._vae.append(load_vae(self._vae_source, channels))
        return self._vae[0].to(device)

    # -------------------------------------------------------------------------------- folders

    def save(self, folder: str | Path, traits: Any = None) -> None:
        """Write a folder that ``ClassConditionalPipeline.from_pretrained`` reads, whole or not at all."""
        device = next(self.network.parameters()).device
        vae = None if self._vae_source is None else self._decoder(device)
        save_parts(Path(folder), self.network, self.scheduler, vae, self._known())
