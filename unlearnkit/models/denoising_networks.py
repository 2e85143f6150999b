"""Networks that predict noise: diffusers' U-Net and DiT in small sizes, or as their papers have them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import yaml
from torch import nn

from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.models.diffusion_library import diffusers_library
from unlearnkit.packaged import CONFIGS, diffusion_shape_names

Network = Literal["unet", "dit"]

SHAPES = CONFIGS / "shapes" / "diffusion"


@dataclass(frozen=True)
class DenoisingShape:
    """What a network is built from, weights apart.

    Attributes:
        network: Which kind.
        config: Arguments of diffusers' class, but for what the images decide.
        learned_variance: Whether it also predicts the variance of the backward steps, in as many channels again.
        parameters: Number of weights for the images it was published with; None for one of our own.
        height: Height of those images (or latents), in pixels; None for one of our own.
    """

    network: Network
    config: dict[str, Any]
    learned_variance: bool = False
    parameters: int | None = None
    height: int | None = None

    def build(self, traits: ImageTraits) -> nn.Module:
        """Build the network with weights drawn from the global generator (on the meta device: none).

        It has one class more than the data: the last one says that no class is asked for.

        Raises:
            ConfigurationError: It cannot take images of this height.
        """
        diffusers = diffusers_library()
        require_height(self.network, self.config, traits.height)
        outputs = traits.channels * (2 if self.learned_variance else 1)
        sizes = {"sample_size": traits.height, "in_channels": traits.channels, "out_channels": outputs}
        if self.network == "unet":
            made: nn.Module = diffusers.UNet2DModel(
                **self.config | sizes | {"num_class_embeds": traits.classes + 1}
            )
        else:
            made = diffusers.DiTTransformer2DModel(
                **self.config | sizes | {"num_embeds_ada_norm": traits.classes}
            )
        return without_own_dropout(made)


def small_shape(
    network: Network,
    *,
    width: int | None = None,
    layers: int | None = None,
    multipliers: list[int] | None = None,
    heads: int | None = None,
    patch_size: int | None = None,
    dropout: float = 0.0,
    learned_variance: bool = False,
) -> DenoisingShape:
    """Return a network for a laptop; sizes that are None take the defaults.

    Args:
        network: ``unet``, with attention where its feature maps are smallest, or ``dit``.
        width: Channels of the U-Net's first level (16), or components of the DiT's tokens (64).
        layers: Residual blocks a level (1), or blocks (4).
        multipliers: Width of each level of the U-Net, each of half the height of the one before, in widths ([1, 2]).
        heads: Attention heads of the DiT (4).
        patch_size: Height of the squares that are the DiT's tokens, in pixels (2).
        dropout: Share of activations dropped inside blocks in training.
        learned_variance: Whether the variance is predicted as well.

    Raises:
        UnknownNameError: ``network`` is neither.
        ConfigurationError: A size is below 1, does not fit the others, or belongs to the other network.

    >>> small_shape("dit", width=32).config["attention_head_dim"]
    8
    """
    if network not in get_args(Network):
        raise UnknownNameError.among("network", network, get_args(Network))
    given = {"width": width, "layers": layers, "heads": heads, "patch_size": patch_size}
    for name, value in given.items():
        if value is not None and value < 1:
            raise ConfigurationError(f"`{name}` must be 1 or above. Found {value}. Give a positive number.")
    if not 0 <= dropout < 1:
        raise ConfigurationError(
            f"`dropout` must lie in [0, 1), a share of activations. Found {dropout}. Use e.g. 0.1."
        )
    if network == "unet":
        _refuse_of_other("unet", {"heads": heads, "patch_size": patch_size})
        config = _unet(width or 16, layers or 1, [1, 2] if multipliers is None else multipliers, dropout)
    else:
        _refuse_of_other("dit", {"multipliers": multipliers})
        config = _dit(width or 64, layers or 4, heads or 4, patch_size or 2, dropout)
    return DenoisingShape(network, config, learned_variance)


def _unet(width: int, layers: int, multipliers: list[int], dropout: float) -> dict[str, Any]:
    if not multipliers or min(multipliers) < 1:
        raise ConfigurationError(
            f"`multipliers` must hold a number of 1 or above for each level. Found {multipliers}. Use e.g. [1, 2]."
        )
    if width % 4:
        raise ConfigurationError(
            f"`width` must be a multiple of 4, whose groups are normalised together. Found {width}. "
            f"Use width={width + 4 - width % 4}."
        )
    plain = len(multipliers) - 1
    return {
        "block_out_channels": [width * multiplier for multiplier in multipliers],
        "down_block_types": ["DownBlock2D"] * plain + ["AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D"] + ["UpBlock2D"] * plain,
        "layers_per_block": layers,
        "norm_num_groups": math.gcd(width, 8),
        "attention_head_dim": math.gcd(width, 32),
        "dropout": dropout,
    }


def _dit(width: int, layers: int, heads: int, patch_size: int, dropout: float) -> dict[str, Any]:
    if width % (4 * heads):
        raise ConfigurationError(
            f"`width` must be a multiple of 4 x `heads` ({4 * heads}): positions are sines and cosines of two axes. "
            f"Found {width}. Use width={4 * heads * max(1, width // (4 * heads))}."
        )
    return {
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "num_layers": layers,
        "patch_size": patch_size,
        "dropout": dropout,
    }


def _refuse_of_other(network: str, sizes: dict[str, Any]) -> None:
    for name, value in sizes.items():
        if value is not None:
            raise ConfigurationError(
                f"`{name}` must be unset with network {network!r}, which has no such size. Found {value}. Leave it out."
            )


def read_diffusion_shape(name: str) -> DenoisingShape:
    """Read a packaged network as it was published.

    Raises:
        UnknownNameError: There is none of that name.

    >>> read_diffusion_shape("dit-xl-2-256").learned_variance
    True
    """
    if name not in diffusion_shape_names():
        raise UnknownNameError.among("shape", name, diffusion_shape_names())
    found = yaml.safe_load((SHAPES / f"{name}.yaml").read_text(encoding="utf-8"))
    return DenoisingShape(
        found["network"], found["config"], found["learned_variance"], found["parameters"], found["height"]
    )


def chosen_shape(
    name: str | None,
    network: Network,
    shape: str | None,
    sizes: dict[str, Any],
    dropout: float,
    learned_variance: bool | None,
) -> DenoisingShape:
    """Return what is built where no name is given: a packaged network, or a small one.

    Args:
        name: Of a saved model, which takes the place of all of it: a recipe's network gives way to a target's folder.
        network: Kind of a small one.
        shape: Name of a packaged one.
        sizes: Of a small one, as ``small_shape`` takes them; None where they were not given.
        dropout: Of a small one.
        learned_variance: None leaves it to the shape.

    Raises:
        ConfigurationError: A shape is given beside a size.
        UnknownNameError: There is no such shape or kind.
    """
    if shape is None or name is not None:
        return small_shape(network, **sizes, dropout=dropout, learned_variance=bool(learned_variance))
    given = next((argument for argument, value in sizes.items() if value is not None), None)
    if given is not None:
        raise ConfigurationError(
            f"`shape` and `{given}` must not both be given: a shape has its sizes, and random weights. Found shape="
            f"{shape!r} and {given}={sizes[given]!r}. Leave one of them unset."
        )
    found = read_diffusion_shape(shape)
    return found if learned_variance is None else replace(found, learned_variance=learned_variance)


def require_height(network: Network, config: Any, height: int) -> None:
    """Refuse a height that the network cannot halve, or cut into patches, without a rest.

    Raises:
        ConfigurationError: It cannot.
    """
    if network == "unet":
        multiple, why = 2 ** (len(config["block_out_channels"]) - 1), "its levels halve the height"
    else:
        multiple, why = config["patch_size"], "it is cut into patches"
    if height % multiple or height < multiple:
        raise ConfigurationError(
            f"`size` of the images must be a multiple of {multiple} for this {network}: {why}. Found {height}. "
            f"Scale them to {multiple * max(1, round(height / multiple))}, or use fewer levels or smaller patches."
        )


def without_own_dropout(network: nn.Module) -> nn.Module:
    """Switch off the dropout of classes that DiT draws in each of its blocks from the global generator.

    With 0 from the start it would lack the row of the null class.
    """
    for part in network.modules():
        if hasattr(part, "embedding_table") and hasattr(part, "dropout_prob"):
            part.dropout_prob = 0.0  # type: ignore[assignment]
    return network


def null_class(network: Any) -> int:
    """Return the number of the class that says that none is asked for, one above the others."""
    config = network.config
    return int(config.num_class_embeds - 1 if "num_class_embeds" in config else config.num_embeds_ada_norm)


def kind_of(network: Any) -> Network:
    """Return which of the two kinds a network of diffusers is."""
    return "unet" if "num_class_embeds" in network.config else "dit"


def denoise(network: Any, noised: torch.Tensor, steps: torch.Tensor, conditions: torch.Tensor) -> Any:
    """Return the network's outputs [batch, channels (twice as many with a variance), height, width].

    Args:
        network: Of diffusers.
        noised: [batch, channels, height, width].
        steps: [batch], int64.
        conditions: Classes, [batch], int64.
    """
    return network(noised, timestep=steps, class_labels=conditions, return_dict=False)[0]
